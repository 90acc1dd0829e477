"""How gunicorn serves the dashboard: threads, because a request mostly waits for PostgreSQL. Owns no setting of its own."""

from __future__ import annotations

from typing import Any

from dispatchlog.settings import get_settings

_settings = get_settings()

bind = f"{_settings.bind_host}:{_settings.port}"
worker_class = "gthread"
workers = 2
# Each open page that is told of changes takes a thread, so there are that many more than requests need.
threads = 8 + _settings.live_streams
# The pool's connections must not be shared over a fork.
preload_app = False
timeout = 60
graceful_timeout = 20
keepalive = 5
# Neither query strings nor form fields: they may name a person.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
accesslog = "-" if _settings.log_level == "debug" else None
# Which proxies are trusted is one setting, DISPATCHLOG_TRUSTED_PROXIES; gunicorn would believe any on this machine.
forwarded_allow_ips = ""
# Nothing is to steer the server from outside.
control_socket_disable = True
proc_name = "dispatchlog-dashboard"


def post_worker_init(worker: Any) -> None:
    """Let open streams end when the worker is asked to (it waits for its requests, and these would go on), look for
    alerts (nobody else is there to notice when workers and schedulers are gone), and warm up before the first visitor.
    """
    from dashboard.live_hub import stops_when  # noqa: PLC0415  only in a worker
    from dashboard.warming import warm  # noqa: PLC0415
    from dashboard.wsgi import app  # noqa: PLC0415
    from dispatchlog.alert_watch import AlertWatch  # noqa: PLC0415
    from dispatchlog.systems import registry  # noqa: PLC0415

    stops_when(lambda: not worker.alive)
    AlertWatch(_settings, registry.lanes, kind="dashboard").start()
    warm(app)


def worker_exit(_server: Any, _worker: Any) -> None:
    """Give PostgreSQL its connections back instead of leaving them to its time-outs."""
    from dispatchlog.engine.database import database  # noqa: PLC0415  only in a worker

    if database.database is not None:
        database.close_all()
