"""Everything on one machine: starts what no setting names, then all processes, mailbox, exchange and courier included.

Owns the order of starting and stopping; what the processes do is theirs.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

from dispatchlog.engine.database import configure, connected, database, fetch_one
from dispatchlog.local.directory import LocalServerError, choose_port, port_is_free, remember_secret
from dispatchlog.local.keeper import Keeper
from dispatchlog.local.outreach_sandbox_at import OutreachSandboxAt, is_wanted
from dispatchlog.local.pharmacy_demonstration import SandboxAt
from dispatchlog.local.pharmacy_sample import PHARMACIES
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.running import announce, only_one_here
from dispatchlog.local.school_demonstration import ExchangeAt
from dispatchlog.local.school_sample import SCHOOLS
from dispatchlog.local.server import LocalServer
from dispatchlog.local.ticket_demonstration import PASSWORD_FILE
from dispatchlog.local.ticket_sample import PEOPLE
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.people import ensure_first_admin
from dispatchlog.settings import Settings, get_settings
from dispatchlog.supervisor import Child, Supervisor

FIRST_ADMIN = "admin@dispatchlog.localhost"
# So that a newcomer sees a form leave within a minute; a real installation keeps the day and the hour.
QUICK = {
    "DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "20",
    "DISPATCHLOG_SWEEP_SECONDS": "10",
    "DISPATCHLOG_COURIER_WATCH_SECONDS": "20",
}
# A worker is given as long as a send may take, and its recording.
GRACE_SECONDS = 35.0


def run_all(*, sample: bool, say: Callable[[str], None]) -> int:
    """Run until SIGINT or SIGTERM; the exit code comes back.

    Raises:
        LocalServerError: it runs already in this folder, the port is taken, or a server could not be started.
    """
    var = get_settings().var_dir.absolute()
    with ExitStack() as stack:
        stack.enter_context(only_one_here(var))
        require_free_port(get_settings())
        kept = _start_servers(var, stack, say)
        local_mail = _complete_environment(var)
        sandbox = _bring_courier(var)
        texts = _bring_texts(var)
        announce(var, keeps=list(kept))
        get_settings.cache_clear()
        settings = get_settings()
        applied = migrate_up(settings.effective_owner_url)
        say(f"schema       {'brought up to ' + applied[-1] if applied else 'up to date'}")
        password, samples = _first_steps(settings)
        if sample and "tickets" in samples:
            remember_secret(var / PASSWORD_FILE)
        exchange = ExchangeAt.of(var)
        stages = _stages(settings, exchange, sandbox, texts, local_mail=local_mail, samples=samples if sample else ())
        threading.Thread(target=_greet, args=(settings, exchange, sandbox, texts, password, say), daemon=True).start()
        keeper = stack.enter_context(Keeper(list(kept.values()), say))
        code = Supervisor(stages, grace_seconds=GRACE_SECONDS, upkeep=keeper.check).run()
    say("everything has stopped")
    return code


def require_free_port(settings: Settings) -> None:
    """Return if the dashboard can have its port; before anything is started, for another server would answer there.

    Raises:
        LocalServerError: it cannot; the message says what to do.
    """
    host, port = settings.bind_host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"another program listens on {host}:{port}; take another port: PORT={port + 1} make run"
            raise LocalServerError(reason, code="PORT_TAKEN") from None
        raise LocalServerError(
            f"cannot listen on {host}:{port} ({error.strerror}); check PORT and DISPATCHLOG_BIND_HOST",
            code="CANNOT_LISTEN",
        ) from None


def _start_servers(var: Path, stack: ExitStack, say: Callable[[str], None]) -> dict[str, LocalServer]:
    """Start what no setting names and point this process at it; what was started comes back by the setting's name."""
    kept: dict[str, LocalServer] = {}
    if not os.environ.get("DATABASE_URL"):
        kept["DATABASE_URL"] = postgres = stack.enter_context(LocalPostgres(var / "postgres"))
        postgres.ensure_database("dispatchlog")
        os.environ["DATABASE_URL"] = postgres.url()
        say(f"PostgreSQL   started, data in {_from_here(var / 'postgres')}")
    if not os.environ.get("REDIS_URL"):
        kept["REDIS_URL"] = valkey = stack.enter_context(LocalValkey(var / "valkey"))
        os.environ["REDIS_URL"] = valkey.url()
        say("Valkey       started")
    return kept


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _complete_environment(var: Path) -> bool:
    """Set what else no setting names, for this process and its children; whether the mailbox is ours comes back."""
    given = {name for name, value in os.environ.items() if value}
    local_mail = "DISPATCHLOG_SMTP_URL" not in given
    os.environ["DISPATCHLOG_VAR_DIR"] = str(var)
    if local_mail:
        os.environ["DISPATCHLOG_SMTP_URL"] = f"smtp://127.0.0.1:{choose_port(var / 'mailbox.port')}?tls=none"
    if "DISPATCHLOG_SOCKET_PORT" not in given:
        usual: int = Settings.model_fields["socket_port"].default
        port = usual if port_is_free(usual) and get_settings().port != usual else choose_port(var / "sockets.port")
        os.environ["DISPATCHLOG_SOCKET_PORT"] = str(port)
    if "DISPATCHLOG_SECRET_KEY" not in given:
        os.environ["DISPATCHLOG_SECRET_KEY"] = remember_secret(var / "secret_key")
    os.environ.update({name: value for name, value in QUICK.items() if name not in given})
    return local_mail


def _bring_courier(var: Path) -> SandboxAt | None:
    """A sandbox courier, for this process and its children, where no setting names a courier."""
    if any(os.environ.get(f"DISPATCHLOG_{name}") for name in ("COURIER", "COURIER_URL", "KWIK_URL")):
        return None
    sandbox = SandboxAt.of(var)
    os.environ.update(sandbox.settings())
    return sandbox


def _bring_texts(var: Path) -> OutreachSandboxAt | None:
    """A stand-in for Twilio, SendGrid and WhatsApp, for this process and its children, where no setting names them."""
    given = {name for name, value in os.environ.items() if value}
    if not is_wanted(given):
        return None
    texts = OutreachSandboxAt.of(var)
    os.environ.update({name: value for name, value in texts.settings(get_settings()).items() if name not in given})
    return texts


def _first_steps(settings: Settings) -> tuple[str | None, list[str]]:
    """Make the first administrator if there is nobody; its password comes back, and the samples that are to be loaded."""
    configure(settings.database_url, role=settings.application_role, name="dispatchlog up", max_connections=2)
    try:
        with connected():
            password = ensure_first_admin(FIRST_ADMIN)
            samples = [] if fetch_one(f"SELECT EXISTS (SELECT FROM {settings.orders_table})")[0] else ["sample"]
            # Where the sample's schools are, they are told where the exchange is this time.
            others = "SELECT EXISTS (SELECT FROM schools) AND NOT EXISTS (SELECT FROM schools WHERE code = %s)"
            samples += [] if fetch_one(others, (SCHOOLS[0].code,))[0] else ["schools"]
            samples += [] if fetch_one("SELECT EXISTS (SELECT FROM pharmacies)")[0] else ["pharmacies"]
            ours = "SELECT count(*) = count(*) FILTER (WHERE code = ANY (%s)) FROM pharmacies"
            only_ours = fetch_one(ours, ([pharmacy.code for pharmacy in PHARMACIES],))[0]
            has_tickets = fetch_one("SELECT EXISTS (SELECT FROM ticket_changes)")[0]
            samples += ["tickets"] if only_ours and not has_tickets else []
            samples += [] if fetch_one("SELECT EXISTS (SELECT FROM patients)")[0] else ["patients"]
        return password, samples
    finally:
        database.close_all()


def _stages(
    settings: Settings,
    exchange: ExchangeAt,
    sandbox: SandboxAt | None,
    texts: OutreachSandboxAt | None,
    *,
    local_mail: bool,
    samples: Collection[str],
) -> list[list[Child]]:
    """What stands outside stops last: a worker may be in the middle of a mail, a message, a booking or a text."""
    python = [sys.executable, "-m"]
    outside = [Child("exchange", exchange.command())]
    if sandbox is not None:
        outside.append(Child("courier", sandbox.command(settings)))
    if texts is not None:
        outside.append(Child("texts", texts.command(settings)))
    if local_mail:
        port = settings.smtp_url.partition("127.0.0.1:")[2].partition("?")[0]
        mail_dir = str(settings.effective_mailbox_dir)
        outside.append(Child("mailbox", [*python, "dispatchlog.local.mailbox", "--port", port, "--dir", mail_dir]))
    processes = [
        Child(name, [*python, "dispatchlog.cli", name]) for name in ("worker", "scheduler", "dashboard", "sockets")
    ]
    if "sample" in samples:
        processes.append(Child("sample", [*python, "dispatchlog.local.demonstration"], once=True))
    if "schools" in samples:
        ports = [str(exchange.port), str(exchange.http_port)]
        processes.append(Child("schools", [*python, "dispatchlog.local.school_demonstration", *ports], once=True))
    if "pharmacies" in samples and sandbox is not None:
        processes.append(Child("pharmacies", [*python, "dispatchlog.local.pharmacy_demonstration"], once=True))
    if "tickets" in samples:
        processes.append(Child("tickets", [*python, "dispatchlog.local.ticket_demonstration"], once=True))
    if "patients" in samples:
        processes.append(Child("patients", [*python, "dispatchlog.local.outreach_demonstration"], once=True))
    return [outside, processes]


def _greet(
    settings: Settings,
    exchange: ExchangeAt,
    sandbox: SandboxAt | None,
    texts: OutreachSandboxAt | None,
    password: str | None,
    say: Callable[[str], None],
) -> None:
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
    lines += (
        [f"  Password  {password}   (for the first sign-in; you then choose your own)"]
        if password
        else [f"  Password  the one you chose; forgotten: {forgotten}"]
    )
    lines += [f"  Mail      {settings.effective_public_url}/mailbox   and in {settings.effective_mailbox_dir}"]
    lines += [f"  Sockets   {settings.bind_host}:{settings.socket_port}   open pages hear of pharmacy orders' changes"]
    script = _from_here(exchange.script)
    lines += [f"  HL7       {settings.effective_public_url}/admin/hl7   the test exchange answers by {script}"]
    if sandbox is not None:
        where = f"{settings.effective_public_url}/orders"
        lines += [f"  Courier   {where}   the sandbox courier goes by {_from_here(sandbox.script)}"]
    if texts is not None:
        lines += [f"  Texts     {texts.url}/messages   SMS and WhatsApp, going by {_from_here(texts.script)}"]
    if (password_file := settings.var_dir / PASSWORD_FILE).exists():
        accounts = ", ".join(person.email for person in PEOPLE if person.role)
        lines += [f"  Tickets   sign in as {accounts}"]
        lines += [f"            the password of all of them is in {_from_here(password_file)}"]
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
