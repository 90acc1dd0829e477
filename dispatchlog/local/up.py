"""Everything on one machine: starts what is not named by a setting, then worker, clock, dashboard and mailbox.

Owns the order of starting and stopping; what the processes do is theirs.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dispatchlog.engine.database import configure, connected, database, fetch_one
from dispatchlog.local.postgres import LocalPostgres, choose_port, remember_secret
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.people import ensure_first_admin
from dispatchlog.settings import Settings, get_settings
from dispatchlog.supervisor import Child, Supervisor

FIRST_ADMIN = "admin@dispatchlog.localhost"
# So that a newcomer sees a form leave within a minute; a real installation keeps the day and the hour.
QUICK = {"DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "20", "DISPATCHLOG_SWEEP_SECONDS": "10"}


def run_all(*, sample: bool, say: Callable[[str], None]) -> int:
    """Run until SIGINT or SIGTERM; the exit code comes back.

    Raises:
        LocalServerError: a server could not be started.
    """
    var = get_settings().var_dir.absolute()
    var.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        environment = stack.enter_context(_environment(var, say))
        os.environ.update(environment)
        get_settings.cache_clear()
        settings = get_settings()
        applied = migrate_up(settings.effective_owner_url)
        say(f"schema       {'brought up to ' + applied[-1] if applied else 'up to date'}")
        password, empty = _first_steps(settings)
        children = _children(settings, local_mail="DISPATCHLOG_SMTP_URL" in environment, sample=sample and empty)
        threading.Thread(target=_greet, args=(settings, password, say), daemon=True).start()
        code = Supervisor(children, grace_seconds=35.0).run()
    say("everything has stopped")
    return code


@contextmanager
def _environment(var: Path, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Settings for the children; servers started here stop when this ends."""
    environment = {"DISPATCHLOG_VAR_DIR": str(var)}
    with ExitStack() as stack:
        if not os.environ.get("DATABASE_URL"):
            postgres = stack.enter_context(LocalPostgres(var / "postgres"))
            postgres.ensure_database("dispatchlog")
            environment["DATABASE_URL"] = postgres.url()
            say("PostgreSQL   started, data in var/postgres")
        if not os.environ.get("REDIS_URL"):
            valkey = stack.enter_context(LocalValkey(var / "valkey"))
            environment["REDIS_URL"] = valkey.url()
            say("Valkey       started")
        if not os.environ.get("DISPATCHLOG_SECRET_KEY"):
            environment["DISPATCHLOG_SECRET_KEY"] = remember_secret(var / "secret_key")
        if not os.environ.get("DISPATCHLOG_SMTP_URL"):
            port = choose_port(var / "mailbox.port")
            environment["DISPATCHLOG_SMTP_URL"] = f"smtp://127.0.0.1:{port}?tls=none"
        environment.update({name: value for name, value in QUICK.items() if not os.environ.get(name)})
        yield environment


def use_running_servers() -> None:
    """Where no server is named but `dispatchlog up` keeps some in this folder, point this process at them.

    So that `dispatchlog users`, `import` and the rest work in a second terminal as they are.
    """
    var = get_settings().var_dir.absolute()
    if os.environ.get("DATABASE_URL") or not (var / "postgres" / "password").exists():
        return
    os.environ["DATABASE_URL"] = LocalPostgres(var / "postgres").url()
    if not os.environ.get("REDIS_URL") and (var / "valkey").exists():
        os.environ["REDIS_URL"] = LocalValkey(var / "valkey").url()
    if not os.environ.get("DISPATCHLOG_SECRET_KEY"):
        os.environ["DISPATCHLOG_SECRET_KEY"] = remember_secret(var / "secret_key")
    if not os.environ.get("DISPATCHLOG_SMTP_URL") and (var / "mailbox.port").exists():
        port = (var / "mailbox.port").read_text().strip()
        os.environ["DISPATCHLOG_SMTP_URL"] = f"smtp://127.0.0.1:{port}?tls=none"
    get_settings.cache_clear()


def _first_steps(settings: Settings) -> tuple[str | None, bool]:
    """Make the first administrator if there is nobody; its password, and whether no order is stored yet, come back."""
    configure(settings.database_url, role=settings.application_role, name="dispatchlog up", max_connections=2)
    try:
        with connected():
            password = ensure_first_admin(FIRST_ADMIN)
            empty = not fetch_one(f"SELECT EXISTS (SELECT FROM {settings.orders_table})")[0]
        return password, empty
    finally:
        database.close_all()


def _children(settings: Settings, *, local_mail: bool, sample: bool) -> list[Child]:
    python = [sys.executable, "-m"]
    children = []
    if local_mail:
        port = settings.smtp_url.partition("127.0.0.1:")[2].partition("?")[0]
        mail_dir = str(settings.effective_mailbox_dir)
        children.append(Child("mailbox", [*python, "dispatchlog.local.mailbox", "--port", port, "--dir", mail_dir]))
    children += [
        Child("worker", [*python, "dispatchlog.cli", "worker"]),
        Child("scheduler", [*python, "dispatchlog.cli", "scheduler"]),
        Child("dashboard", [*python, "dispatchlog.cli", "dashboard"]),
    ]
    if sample:
        children.append(Child("sample", [*python, "dispatchlog.local.demonstration"], once=True))
    return children


def _greet(settings: Settings, password: str | None, say: Callable[[str], None]) -> None:
    """Say where to look as soon as the dashboard answers."""
    for _ in range(300):
        if _answers(settings):
            break
        time.sleep(0.2)
    else:
        say("The dashboard has not answered for a minute; see its lines above.")
        return
    lines = ["", f"  Open      {settings.effective_public_url}", f"  Sign in   {FIRST_ADMIN}"]
    forgotten = f"{sys.argv[0]} users password {FIRST_ADMIN}"
    lines += [f"  Password  {password}   (shown once)"] if password else [f"  Password  as before, or: {forgotten}"]
    lines += [f"  Mail      {settings.effective_public_url}/mailbox   and in {settings.effective_mailbox_dir}"]
    say("\n".join([*lines, "  Stop      Ctrl-C", ""]))


def _answers(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(settings.bind_host, settings.port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
