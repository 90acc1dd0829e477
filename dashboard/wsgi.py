"""What gunicorn serves: `gunicorn -c python:dashboard.gunicorn_conf dashboard.wsgi:app`. Owns only the one object."""

from __future__ import annotations

from dashboard import create_app
from dashboard.connection import STATEMENT_TIMEOUT_MS
from dashboard.patience import bound_waits
from dispatchlog.engine.spans import configure_spans
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings

configure_logs(get_settings().log_level)
configure_spans(get_settings().otlp_url, process="dashboard")
# A little longer than the server's own limit, whose error says more.
bound_waits(STATEMENT_TIMEOUT_MS / 1000 + 2)
app = create_app()
