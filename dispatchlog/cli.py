"""The command `dispatchlog`: starts processes and does an operator's work from a shell. Owns words, not rules.

What a command says goes through `click.echo`, whole however narrow the terminal: it is copied and piped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from uuid import UUID

import click
import peewee
import psycopg2
from playhouse.migrations import MigrationError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dispatchlog.audit_cli import audit
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.figures_cli import figures
from dispatchlog.keys_cli import keys
from dispatchlog.local.running import adopt_settings, advice
from dispatchlog.logs import speak_in_sentences
from dispatchlog.patient_cli import patient
from dispatchlog.restored_cli import restored
from dispatchlog.retention_cli import retention
from dispatchlog.sealing_cli import seal_command
from dispatchlog.settings import Settings, get_settings
from dispatchlog.tickets_cli import tickets

if TYPE_CHECKING:
    from dispatchlog.importing import ImportReport

P = ParamSpec("P")
R = TypeVar("R")

MARKS = {"ok": "green", "warning": "yellow", "failed": "red"}


def fail(message: str, *, code: str) -> NoReturn:
    """End with exit code 1 and one line that says what and what next."""
    click.echo(f"{click.style('error', fg='red')} {code}: {message}", err=True)
    sys.exit(1)


def show_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their columns below each other."""
    rows = list(rows)
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors a person can do something about into one line that says which server and what to do."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            fail(f"{where}: {first['msg']}", code="BAD_SETTING")
        except (psycopg2.OperationalError, peewee.OperationalError, peewee.InterfaceError) as error:
            detail = _first_line(error)
            if "does not exist" in detail and "role" in detail:
                fail(f"{detail}; run: dispatchlog migrate up", code="NOT_MIGRATED")
            what_next = advice(get_settings(), "DATABASE_URL", "check DATABASE_URL and that the server runs")
            fail(f"PostgreSQL does not answer ({detail}); {what_next}", code="DATABASE_UNAVAILABLE")
        except peewee.ProgrammingError as error:
            fail(f"{_first_line(error)}; run: dispatchlog migrate up", code="NOT_MIGRATED")
        except DispatchlogError as error:
            fail(error.message, code=error.code)

    return run


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def open_database(name: str) -> Settings:
    """Point this process at the database of the settings; they come back."""
    from dispatchlog.engine.database import configure

    settings = _settings_with_database()
    configure(settings.database_url, role=settings.application_role, name=name)
    return settings


def _settings_with_database() -> Settings:
    settings = get_settings()
    if not settings.database_url:
        message = "DATABASE_URL is not set and no dispatchlog up runs in this folder; set it, or run: dispatchlog up"
        fail(message, code="NO_DATABASE_URL")
    return settings


def on_database(command: Callable[P, R]) -> Callable[P, R]:
    """For commands that work in the database: it is opened, and errors are `explained`."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        open_database("dispatchlog cli")
        return command(*args, **kwargs)

    return explained(run)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dispatchlog")
def main() -> None:
    """Every outgoing act of care leaves exactly once."""
    speak_in_sentences()
    context = click.get_current_context()
    context.obj = explained(adopt_settings)() if context.invoked_subcommand != "up" else set()


@main.command()
@click.option("--sample/--no-sample", default=True, help="Load sample orders into an empty database.")
@explained
def up(*, sample: bool) -> None:
    """Run everything on this machine: servers where none are named, worker, clock, dashboard, mailbox."""
    from dispatchlog.local.up import run_all

    sys.exit(run_all(sample=sample, say=click.echo))


@main.command()
@click.option("--processes", type=click.IntRange(1, 64), help="Worker processes (DISPATCHLOG_WORKER_PROCESSES).")
@click.option("--threads", type=click.IntRange(2, 64), help="Threads of each (DISPATCHLOG_WORKER_THREADS).")
@click.option(
    "--lane", "lanes", multiple=True, help="Only this lane; repeatedly, only these (DISPATCHLOG_WORKER_LANES)."
)
@explained
def worker(*, processes: int | None, threads: int | None, lanes: tuple[str, ...]) -> None:
    """Run worker processes; one that dies is replaced, and the others take over what it held."""
    from dispatchlog.supervisor import Child, Supervisor
    from dispatchlog.worker import queues_of

    settings = open_database("dispatchlog worker")
    threads = threads or settings.worker_threads
    chosen = ",".join(lanes) or settings.worker_lanes
    children = [
        Child(
            f"worker-{number}",
            [
                sys.executable,
                "-m",
                "dramatiq",
                "tasks",
                "--processes",
                "1",
                "--threads",
                str(threads),
                *queues_of(chosen),
            ],
            env={
                "dramatiq_queue_prefetch": str(threads),
                "dramatiq_worker_timeout": "100",
                "DISPATCHLOG_WORKER_THREADS": str(threads),
                "DISPATCHLOG_WORKER_LANES": chosen,
            },
        )
        for number in range(1, (processes or settings.worker_processes) + 1)
    ]
    sys.exit(Supervisor([children], grace_seconds=35.0).run())


@main.command()
@explained
def scheduler() -> None:
    """Run the clock. Several may run; one leads."""
    import scheduler as clock

    sys.exit(clock.main())


@main.command()
@explained
def dashboard() -> None:
    """Run the dashboard and the API (gunicorn; PORT and DISPATCHLOG_BIND_HOST say where)."""
    open_database("dispatchlog dashboard")
    arguments = [sys.executable, "-m", "gunicorn", "--config", "python:dashboard.gunicorn_conf", "dashboard.wsgi:app"]
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell: this process becomes gunicorn


@main.command()
@explained
def sockets() -> None:
    """Tell open pages and apps of orders' changes (Socket.IO, on DISPATCHLOG_SOCKET_PORT)."""
    from dashboard.sockets.process import serve

    settings = _settings_with_database()
    if not settings.secret_key.get_secret_value():
        fail("DISPATCHLOG_SECRET_KEY is not set; it is the dashboard's", code="NO_SECRET_KEY")
    serve(settings)


@main.group()
def migrate() -> None:
    """Bring the database's schema up or down, as the tables' owner (DATABASE_OWNER_URL, else DATABASE_URL)."""


def _owner_url() -> str:
    return get_settings().database_owner_url or _settings_with_database().database_url


@migrate.command("up")
@click.argument("target", required=False)
@explained
def migrate_up_command(target: str | None) -> None:
    """Apply pending migrations, or those up to TARGET."""
    from dispatchlog.migrate import migrate_up

    try:
        applied = migrate_up(_owner_url(), target)
    except (peewee.ProgrammingError, peewee.IntegrityError, peewee.InternalError, MigrationError) as error:
        fail(f"{_first_line(error)}; nothing of that migration was kept", code="MIGRATION_FAILED")
    click.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@migrate.command("down")
@click.argument("target", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def migrate_down_command(target: str | None, *, yes: bool) -> None:
    """Revert the newest migration, or all back through TARGET. Tables and what is in them are dropped."""
    from dispatchlog.migrate import migrate_down

    if not yes:
        click.confirm("This drops tables and everything in them. Go on?", abort=True)
    reverted = migrate_down(_owner_url(), target)
    click.echo("\n".join(f"reverted {name}" for name in reverted) or "nothing to revert")


@migrate.command("status")
@explained
def migrate_status_command() -> None:
    """List the migrations; exit code 1 while some are pending."""
    from dispatchlog.migrate import migration_status

    states = migration_status(_owner_url())
    show_table(
        (
            state.name,
            f"applied {state.applied_at:%Y-%m-%d %H:%M:%S} UTC" if state.applied_at else "pending",
            "(file is gone)" if state.missing else "",
        )
        for state in states
    )
    sys.exit(1 if any(state.applied_at is None for state in states) else 0)


@main.command()
def states() -> None:
    """Print the states of a dispatch and its legal moves as a Mermaid diagram."""
    from dispatchlog.engine.diagram import state_diagram

    click.echo(state_diagram())


@main.command()
@click.argument("lane", required=False)
@on_database
def sweep(lane: str | None) -> None:
    """Release what is due in LANE (or every lane) now, instead of at the next scheduled sweep."""
    from dispatchlog.broker import get_waker
    from dispatchlog.engine.sweep import sweep_now
    from dispatchlog.systems import registry
    from dispatchlog.systems.kit_registering import register_missing

    found = register_missing()
    for each in (registry.lane(lane),) if lane else registry.lanes():
        at = sweep_now(each, get_waker(), started_by="cli")
        click.echo(f"{each.name}: swept at {at:%H:%M:%S} UTC")
    click.echo(f"{found} shipped orders had kits without a registration")


@main.command()
@click.argument("target", metavar="LANE|gateway:NAME")
@click.option("--reason", required=True, help="Stays with it, and is shown to everybody.")
@on_database
def pause(target: str, reason: str) -> None:
    """Let nothing of a lane, or of all lanes of a gateway, leave until `dispatchlog resume`."""
    from dispatchlog.engine.holds import hold, parse_target
    from dispatchlog.systems import registry

    wanted = parse_target(target, registry.lanes())
    result = hold(wanted, actor="cli", reason=reason)
    if result.changed:
        click.echo(f"{wanted}: paused; what is being sent is finished, nothing else is begun")
    elif result.hold is not None:
        click.echo(f"{wanted}: already paused since {result.hold.held_at:%Y-%m-%d %H:%M} UTC by {result.hold.held_by}")


@main.command()
@click.argument("target", metavar="LANE|gateway:NAME")
@click.option("--reason", required=True, help="Stays with it.")
@on_database
def resume(target: str, reason: str) -> None:
    """Let a paused lane or gateway go on; what is due leaves at once."""
    from dispatchlog.broker import get_waker
    from dispatchlog.engine.holds import parse_target, release
    from dispatchlog.systems import registry

    lanes = registry.lanes()
    wanted = parse_target(target, lanes)
    result = release(wanted, actor="cli", reason=reason, lanes=lanes, waker=get_waker())
    click.echo(f"{wanted}: {'goes on' if result.changed else 'was not paused'}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--deep", is_flag=True, help="Also sign in to mail server and providers, and look into PostgreSQL.")
@explained
def doctor(*, as_json: bool, deep: bool) -> None:
    """Check settings, database, schema, broker, clock, mail server and installation; exit code 1 if any check fails."""
    from dispatchlog.doctor import examine, examine_deeply

    checks = (examine_deeply if deep else examine)(get_settings())
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        show_table(
            (check.name, click.style(check.state, fg=MARKS[check.state]), check.what, check.next) for check in checks
        )
    sys.exit(1 if any(check.state == "failed" for check in checks) else 0)


@main.command()
@click.argument("trace_id")
@click.option("--days", type=click.IntRange(1, 3650), default=7, show_default=True, help="How far back to look.")
@on_database
def trace(trace_id: str, days: int) -> None:
    """Tell what the database knows of one trace id, in order: rows, moves, attempts, what providers told. No texts."""
    from dispatchlog.engine.database import connected
    from dispatchlog.trace_story import story

    with connected():
        steps = story(trace_id, days=days)
    if not steps:
        fail(f"nothing is known of this trace id in the last {days} days", code="TRACE_UNKNOWN")
    show_table([("at", "of", "id", "what"), *((f"{s.at:%Y-%m-%d %H:%M:%S.%f}", s.of, s.id, s.what) for s in steps)])


@main.command("settings")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_obj
@explained
def settings_command(adopted: set[str], *, as_json: bool) -> None:
    """Show every setting, where its value comes from, and the value without secrets."""
    from dispatchlog.setting_names import shown

    found = get_settings()
    rows = list(shown(Settings.model_fields, dict(found), adopted=adopted))
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2, ensure_ascii=False))
    else:
        show_table((row.name, row.source, row.value) for row in rows)


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="import", show_default=True, help="Who reports them.")
@click.option("--visits", is_flag=True, help="FILE holds clinics' visits (.json, .jsonl, .ndjson), not orders.")
@on_database
def import_command(file: Path, source: str, visits: bool) -> None:
    """Import orders from FILE (.json or .csv), or visits. Good ones are stored; the others are listed line by line."""
    from dispatchlog.importing import import_orders, import_visits

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("importing", total=None)
        report = (import_visits if visits else import_orders)(
            file,
            source=source,
            progress=lambda done, total: progress.update(task, completed=done, total=total or None),
        )
    _show_import(report)
    sys.exit(1 if report.refused or not report.complete else 0)


def _show_import(report: ImportReport) -> None:
    for error in report.errors:
        place = f"line {error.line}" + (f", {error.field}" if error.field else "")
        click.echo(f"{place}: {error.code}: {error.message}", err=True)
    click.echo(report.summary)


@main.group()
def users() -> None:
    """People who sign in to the dashboard."""


@users.command("add")
@click.argument("email")
@click.option("--role", "roles", multiple=True, default=["viewer"], show_default=True, help="May be given repeatedly.")
@on_database
def users_add(email: str, roles: tuple[str, ...]) -> None:
    """Make an account and print its one-time password."""
    from dispatchlog.people import create_user

    _, password = create_user(email, roles=list(roles))
    click.echo(f"{email} ({', '.join(roles)}): {password}")


@users.command("list")
@on_database
def users_list() -> None:
    """List the accounts."""
    from dispatchlog.people import list_users

    show_table(
        (
            person.email,
            "active" if person.active else "disabled",
            ", ".join(person.roles) or "no role",
            "second factor" if person.second_factor_at else "password only",
        )
        for person in list_users()
    )


@users.command("password")
@click.argument("email")
@on_database
def users_password(email: str) -> None:
    """Give an account a new one-time password and end its sessions."""
    from dispatchlog.people import set_password

    click.echo(f"{email}: {set_password(email)}")


@users.command("roles")
@click.argument("email")
@click.argument("roles", nargs=-1, required=True)
@on_database
def users_roles(email: str, roles: tuple[str, ...]) -> None:
    """Replace an account's roles."""
    from dispatchlog.people import set_roles

    set_roles(email, list(roles))
    click.echo(f"{email}: {', '.join(roles)}")


@users.command("link")
@click.argument("email")
@click.option("--kind", type=click.Choice(["doctor", "patient", "pharmacy", "laboratory"]), required=True)
@click.option(
    "--party", metavar="CODE-OR-ID", help="An existing one: its id, or a pharmacy's code. Without it a new one."
)
@click.option("--name", default="", help="The person's name, and a new party's; the address where it is left out.")
@click.option("--reason", default="", help="Why; kept with it.")
@on_database
def users_link(email: str, kind: str, party: str | None, name: str, reason: str) -> None:
    """Let an account act for a doctor, pharmacy, laboratory or patient, whose tickets it then sees."""
    from dispatchlog.account_links import find_party, link_account
    from dispatchlog.systems.tickets.states import PartyKind

    linked = link_account(
        email,
        name=name or email,
        kind=PartyKind(kind),
        party_id=find_party(party) if party else None,
        actor="cli",
        reason=reason,
    )
    click.echo(f"{email}: acts for {linked.party_name} ({linked.kind} {linked.party_id})")


@users.command("unlink")
@click.argument("email")
@click.option("--reason", required=True, help="Kept with it.")
@on_database
def users_unlink(email: str, reason: str) -> None:
    """Let an account act for nobody; what it wrote stays."""
    from dispatchlog.account_links import unlink_account

    changed = unlink_account(email, actor="cli", reason=reason)
    click.echo(f"{email}: {'acts for nobody any more' if changed else 'acted for nobody already'}")


@users.command("disable")
@click.argument("email")
@on_database
def users_disable(email: str) -> None:
    """Close an account and end its sessions."""
    from dispatchlog.people import disable_user

    disable_user(email)
    click.echo(f"{email}: disabled")


@users.command("enable")
@click.argument("email")
@on_database
def users_enable(email: str) -> None:
    """Open a closed account again; its sessions stay ended."""
    from dispatchlog.people import enable_user

    enable_user(email)
    click.echo(f"{email}: active")


@users.command("reset-second-factor")
@click.argument("email")
@on_database
def users_reset_second_factor(email: str) -> None:
    """Take away a lost second factor and end the sessions; in production another one is set up at the next sign-in."""
    from dispatchlog.second_factor import reset

    reset(email, actor="cli")
    click.echo(f"{email}: no second factor any more")


@main.group()
def tokens() -> None:
    """Service tokens of the JSON API."""


@tokens.command("add")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="orders:write, orders:read, ... repeatedly.")
@on_database
def tokens_add(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and print it; it cannot be read again."""
    from dispatchlog.service_tokens import create_token

    click.echo(create_token(name, list(scopes), created_by="cli"))


@tokens.command("list")
@on_database
def tokens_list() -> None:
    """List the tokens, without their secrets."""
    from dispatchlog.service_tokens import list_tokens

    show_table(
        (token.name, "revoked" if token.revoked_at else "active", ", ".join(token.scopes)) for token in list_tokens()
    )


@tokens.command("revoke")
@click.argument("name")
@on_database
def tokens_revoke(name: str) -> None:
    """Revoke a token at once."""
    from dispatchlog.service_tokens import revoke_token

    revoke_token(name)
    click.echo(f"{name}: revoked")


@main.group()
def hl7() -> None:
    """HL7 messages and the exchanges that take them."""


@hl7.command("listen")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=2575, show_default=True, help="MLLP; 0 takes a free one."
)
@click.option("--http-port", type=click.IntRange(0, 65_535), help="The same over HTTP, or HTTPS with a certificate.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Speak TLS with it.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The certificate's key.")
@click.option(
    "--client-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask clients for a certificate of this authority.",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='What to answer, as JSON: {"rules": [{"patient": "S-1", "answer": {"code": "AE", "error": "207"}}]}.',
)
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Append what was taken to this file.")
@click.option("--api-key", default="", help="What the HTTP side wants in X-API-Key.")
@click.option("--dedupe/--no-dedupe", "dedupes", default=True, help="Whether a resend is recognised by its control id.")
def hl7_listen(**options: Any) -> None:
    """Run a test exchange: it takes HL7 messages and prints a line for each, without patient data."""
    from dispatchlog.gateways.hl7_exchange import Options, run

    try:
        run(Options(**options), say=click.echo)
    except (OSError, ValueError) as error:
        fail(f"The exchange cannot start ({error}).", code="CANNOT_LISTEN")


@main.group()
def courier() -> None:
    """Couriers that bring pharmacy orders."""


_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@courier.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=2580, show_default=True, help="0 takes a free one.")
@click.option("--speed", type=click.FloatRange(0), default=1.0, show_default=True, help="Its seconds per second.")
@click.option("--token", envvar="DISPATCHLOG_COURIER_TOKEN", default="", help="What it wants as a Bearer token.")
@click.option("--webhook-url", default="", help="Where it tells what happens; without it nobody is told.")
@click.option("--webhook-secret", envvar="DISPATCHLOG_COURIER_WEBHOOK_SECRET", default="", help="Signs each webhook.")
@click.option("--kwik-domain-name", envvar="DISPATCHLOG_KWIK_DOMAIN_NAME", default="sandbox", show_default=True)
@click.option("--kwik-email", envvar="DISPATCHLOG_KWIK_EMAIL", default="sandbox@dispatchlog.localhost")
@click.option("--kwik-password", envvar="DISPATCHLOG_KWIK_PASSWORD", default="sandbox", help="Who may log in at /kwik.")
@click.option("--history-page", type=click.IntRange(1), default=50, help="The most rows of Kwik's history at once.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Remember the jobs in this file.")
@click.option("--script", type=_file, help='What goes wrong, as JSON: {"orders": {"RX-1": {"ends": "fails"}}}.')
@click.option("--certificate", type=_file, help="Speak TLS with it.")
@click.option("--key", type=_file, help="The certificate's key.")
def courier_sandbox(webhook_secret: str, **options: Any) -> None:
    """Run a courier without drivers: our own protocol at /courier, Kwik's at /kwik. Prints a line for each event."""
    from dispatchlog.gateways.courier_sandbox import Options, run

    secrets = [secret.strip() for secret in webhook_secret.split(",") if secret.strip()]
    try:
        run(Options(webhook_secrets=secrets, **options), say=click.echo)
    except (OSError, ValueError) as error:
        fail(f"The sandbox cannot start ({error}).", code="CANNOT_LISTEN")


@main.group()
def outreach() -> None:
    """Messages to patients."""


@outreach.command("templates")
@on_database
def outreach_templates() -> None:
    """Write the standard texts of every purpose, channel and language where there is none yet."""
    from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates

    click.echo(f"{ensure_standard_templates()} templates written")


@outreach.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=2590, show_default=True, help="0 takes a free one.")
@click.option("--webhook-url", default="", help="Where the product is reached; without it no answers come back.")
@click.option("--twilio-account-sid", envvar="DISPATCHLOG_TWILIO_ACCOUNT_SID", default="AC" + "5a" * 16)
@click.option("--twilio-auth-token", envvar="DISPATCHLOG_TWILIO_AUTH_TOKEN", default="", help="Lets in, and signs.")
@click.option("--sendgrid-api-key", envvar="DISPATCHLOG_SENDGRID_API_KEY", default="", help="Lets in.")
@click.option("--sendgrid-key-file", type=_file, help="The private key (PEM) that signs SendGrid's events.")
@click.option("--whatsapp-token", envvar="DISPATCHLOG_WHATSAPP_TOKEN", default="", help="Lets in.")
@click.option("--whatsapp-phone-number-id", envvar="DISPATCHLOG_WHATSAPP_PHONE_NUMBER_ID", default="100000000000001")
@click.option("--whatsapp-app-secret", envvar="DISPATCHLOG_WHATSAPP_APP_SECRET", default="", help="Signs webhooks.")
@click.option("--script", type=_file, help='How it goes, as JSON: {"replies": [{"asks": "YES", "answer": "YES"}]}.')
def outreach_sandbox(sendgrid_key_file: Path | None, **options: Any) -> None:
    """Stand in for Twilio (/twilio), SendGrid (/sendgrid) and WhatsApp (/whatsapp); /messages shows the texts."""
    from dispatchlog.gateways.outreach_sandbox import Options, run

    try:
        key = sendgrid_key_file.read_text() if sendgrid_key_file else ""
        run(Options(sendgrid_signing_key=key, **options), say=click.echo)
    except (OSError, ValueError) as error:
        fail(f"The sandbox cannot start ({error}).", code="CANNOT_LISTEN")


@hl7.command("send-now")
@click.argument("messages", metavar="[MESSAGE_ID]...", nargs=-1, type=click.UUID)
@click.option("--pending", is_flag=True, help="Every message that waits.")
@click.option("--reason", default="sent by hand", show_default=True, help="Stays with each message.")
@explained
def hl7_send_now(messages: tuple[UUID, ...], *, pending: bool, reason: str) -> None:
    """Send messages from this shell, without a worker (or beside one), and say what became of each.

    They go as a worker would send them: in order, at the endpoint's pace. Exit code 1 if one was not sent.
    """
    from dispatchlog.systems.hl7 import by_hand
    from dispatchlog.worker import by_hand as in_this_process

    if bool(messages) == pending:
        raise click.UsageError("Name messages, or say --pending.")
    settings = _settings_with_database()
    unsent = 0
    with in_this_process(settings) as runtime:
        wanted = by_hand.pending() if pending else list(messages)
        for each in by_hand.send_now(wanted, runtime, actor="cli", reason=reason):
            unsent += each.status != "SENT"
            click.echo(f"{each.message_id}  {each.school}  {each.status}{'  ' if each.why else ''}{each.why}")
        if not wanted:
            click.echo("nothing waits")
    sys.exit(1 if unsent else 0)


@hl7.group("school")
def hl7_school() -> None:
    """Schools and the endpoints that take their messages."""


@hl7_school.command("add")
@click.argument("code")
@click.argument("name")
@on_database
def hl7_school_add(code: str, name: str) -> None:
    """Add a school; its endpoint is switched off until it is set."""
    from dispatchlog.systems.hl7.schools import add_school

    school = add_school(code, name, actor="cli")
    click.echo(f"{school.code}: added; its endpoint is off, set it with: dispatchlog hl7 school set {school.code} ...")


@hl7_school.command("list")
@on_database
def hl7_school_list() -> None:
    """List the schools and whether messages leave by their endpoints."""
    from dispatchlog.systems.hl7.schools import schools

    found = schools()
    if found:
        show_table((school.code, "on" if school.enabled else "off", school.name) for school in found)
    else:
        click.echo("There is no school yet; add one with: dispatchlog hl7 school add CODE NAME")


@hl7_school.command("set")
@click.argument("code")
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--secret-from-stdin",
    type=click.Choice(["api_key", "client_key_pem"]),
    help="Read this secret from standard input; empty takes it away.",
)
@click.option("--file", "files", multiple=True, metavar="NAME=PATH", help="Read a certificate from a file.")
@click.option("--reason", default="", help="Why; kept with the change.")
@on_database
def hl7_school_set(
    code: str, settings: tuple[str, ...], files: tuple[str, ...], secret_from_stdin: str | None, reason: str
) -> None:
    """Change settings of a school's endpoint, such as host=mllp.example.org port=2575 enabled=on."""
    from dispatchlog.systems.hl7.school_settings import read
    from dispatchlog.systems.hl7.schools import SECRETS, SchoolError, change_endpoint

    given: dict[str, str] = {}
    for each in (*settings, *files):
        name, sign, value = each.partition("=")
        if not sign:
            fail(f"{each[:40]!r} is not NAME=VALUE", code="BAD_ARGUMENT")
        if name in SECRETS:
            fail(f"{name} stands in no command line; use --secret-from-stdin {name}", code="SECRET_ON_COMMAND_LINE")
        given[name] = _text_of(Path(value)) if each in files else value
    if secret_from_stdin:
        given[secret_from_stdin] = sys.stdin.read()
    if not given:
        fail("name at least one setting, such as host=mllp.example.org", code="BAD_ARGUMENT")
    try:
        version = change_endpoint(
            code, {name: read(name, text) for name, text in given.items()}, actor="cli", reason=reason
        )
    except SchoolError as error:
        where = f" ({error.field})" if error.field and error.field not in error.message else ""
        fail(f"{error.message}{where}; nothing was changed", code=error.code)
    click.echo(f"{code}: {', '.join(given)} set, version {version}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read ({error})", code="BAD_ARGUMENT")


@hl7_school.command("test")
@click.argument("code")
@click.option("--message", "with_message", is_flag=True, help="Send a test message of an invented student too.")
@on_database
def hl7_school_test(code: str, with_message: bool) -> None:
    """Try a school's endpoint step by step; nothing but a marked test message is sent."""
    from dispatchlog.systems.hl7.endpoint_test import run_test

    trial = run_test(code, actor="cli", with_message=with_message).trial
    marks = {"PASSED": "ok", "WARNING": "warning", "FAILED": "failed"}
    for step in trial.steps:
        mark = marks[step.verdict]
        click.echo(f"{click.style(mark, fg=MARKS[mark])} {step.name}: {step.words}")
    if trial.acknowledgement:
        click.echo(trial.acknowledgement)
    if not trial.works:
        sys.exit(1)


main.add_command(audit)
main.add_command(figures)
main.add_command(keys)
main.add_command(seal_command)
main.add_command(tickets)
main.add_command(restored)
main.add_command(retention)
main.add_command(patient)

if __name__ == "__main__":
    main()
