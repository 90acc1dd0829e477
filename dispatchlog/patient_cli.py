"""The commands `dispatchlog patient`: what is stored about one patient, and its end. Owns words, not rules."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from dispatchlog.shell import as_owner, show_table


@click.group()
def patient() -> None:
    """One patient: an id, an address, or student:SCHOOL:NUMBER; as the tables' owner (DATABASE_OWNER_URL)."""


@patient.command("export")
@click.argument("who")
@click.option("--reason", required=True, help="Stays with it, for instance who asked and when.")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The zip to write.")
@as_owner
def export_command(*, who: str, reason: str, output: Path) -> None:
    """Write everything about WHO, from all systems, as JSON and as a page, into a zip that only you can read."""
    from dispatchlog.engine.errors import DispatchlogError
    from dispatchlog.retention.export import export

    if output.exists():
        raise DispatchlogError(f"{output} exists already; name another file", code="FILE_EXISTS")
    whole = export(who, actor="cli", reason=reason)
    output.touch(mode=0o600, exist_ok=False)
    output.write_bytes(whole)
    click.echo(f"{output}: {len(whole)} bytes; hand it over safely, then delete it")


@patient.command("erase")
@click.argument("who")
@click.option("--reason", required=True, help="Stays with it, for instance who asked and when.")
@click.option(
    "--leave-record", is_flag=True, help="Leave prescriptions, orders and visits, which the law keeps longer."
)
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@as_owner
def erase_command(*, who: str, reason: str, leave_record: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Erase WHO for good: open messages are cancelled, names, addresses and texts go, numbers stay and name nobody."""
    from dispatchlog.retention.erasure import erase
    from dispatchlog.systems import registry

    if not (yes or dry_run):
        click.confirm("This cannot be undone. Go on?", abort=True)
    done = erase(who, registry.lanes(), actor="cli", reason=reason, leave_record=leave_record, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(done)}))
        return
    show_table((table, str(count)) for table, count in done.rows.items())
    click.echo(
        f"{'would be: ' if dry_run else ''}{sum(done.rows.values())} rows erased, {done.cancelled} open messages cancelled,"
        f" {done.stopped} addresses on the stop list"
    )
    if done.left_record:
        click.echo("the medical record was left: erase again without --leave-record once its time is over")
    if done.shared_addresses:
        click.echo(f"{done.shared_addresses} addresses are also another patient's; what went there by kit was left")


@patient.command("traces")
@click.argument("texts", nargs=-1, required=True)
@as_owner
def traces_command(*, texts: tuple[str, ...]) -> None:
    """Look for TEXTS in every column of every table, which takes long; exit code 1 where one is found."""
    from dispatchlog.retention.traces import find_traces

    found = find_traces(texts)
    show_table((table, column, str(count)) for table, column, count in found)
    click.echo("nothing was found" if not found else "look whether it is the same person: a name is many people's")
    sys.exit(1 if found else 0)
