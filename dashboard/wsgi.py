"""What gunicorn serves: `gunicorn -c python:dashboard.gunicorn_conf dashboard.wsgi:app`. Owns only the one object."""

from __future__ import annotations

from dashboard import create_app

app = create_app()
