"""The command `dispatchlog`: starts processes and does an operator's work from a shell. Owns words, not rules.

What a command says goes through `click.echo`, whole however narrow the terminal: it is copied and piped.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import peewee
from playhouse.migrations import MigrationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dispatchlog.audit_cli import audit
from dispatchlog.figures_cli import figures
from dispatchlog.hl7_cli import hl7
from dispatchlog.keys_cli import keys
from dispatchlog.local.running import adopt_settings
from dispatchlog.logs import speak_in_sentences
from dispatchlog.patient_cli import patient
from dispatchlog.people_cli import tokens, users
from dispatchlog.restored_cli import restored
from dispatchlog.retention_cli import retention
from dispatchlog.sealing_cli import seal_command
from dispatchlog.settings import Settings, get_settings
from dispatchlog.shell import (
    MARKS,
    explained,
    fail,
    first_line,
    on_database,
    open_database,
    settings_with_database,
    show_table,
)
from dispatchlog.tickets_cli import tickets

if TYPE_CHECKING:
    from dispatchlog.importing import ImportReport


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

    settings = settings_with_database()
    if not settings.secret_key.get_secret_value():
        fail("DISPATCHLOG_SECRET_KEY is not set; it is the dashboard's", code="NO_SECRET_KEY")
    serve(settings)


@main.group()
def migrate() -> None:
    """Bring the database's schema up or down, as the tables' owner (DATABASE_OWNER_URL, else DATABASE_URL)."""


def _owner_url() -> str:
    return get_settings().database_owner_url or settings_with_database().database_url


@migrate.command("up")
@click.argument("target", required=False)
@explained
def migrate_up_command(target: str | None) -> None:
    """Apply pending migrations, or those up to TARGET."""
    from dispatchlog.migrate import migrate_up

    try:
        applied = migrate_up(_owner_url(), target)
    except (peewee.ProgrammingError, peewee.IntegrityError, peewee.InternalError, MigrationError) as error:
        fail(f"{first_line(error)}; nothing of that migration was kept", code="MIGRATION_FAILED")
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


for command in (audit, figures, hl7, keys, patient, restored, retention, seal_command, tickets, tokens, users):
    main.add_command(command)

if __name__ == "__main__":
    main()
