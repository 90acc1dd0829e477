"""The commands `dispatchlog audit`: seal, verify, anchor and export what happened. Owns words, not rules."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from dispatchlog.settings import get_settings
from dispatchlog.shell import on_database, owner_url, show_table

WHO = "cli"
_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
_DAY = click.DateTime(formats=["%Y-%m-%d"])
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """The audit chain: what happened, sealed so that nobody changes it unseen."""


@audit.command("seal")
@on_database
def seal_command() -> None:
    """Seal now what the scheduler would seal within seconds."""
    from dispatchlog.audit.horizon import Horizon
    from dispatchlog.audit.sealing import head, seal_all

    rows, newest = seal_all(Horizon(), who=WHO), head()
    click.echo(f"{rows} rows sealed; the chain ends with seal {newest.number if newest else 0}")


@audit.command("verify")
@click.option("--since", type=_MOMENT, help="From the first seal of this day or moment (UTC); else the whole chain.")
@click.option("--anchor", "file", type=_FILE, help="The anchor file; else DISPATCHLOG_AUDIT_ANCHOR.")
@on_database
def verify_command(since: datetime | None, file: Path | None) -> None:
    """Recompute the chain; exit code 1 where it does not hold, and the first wrong batch is named."""
    from dispatchlog.audit.verifying import Report, verify

    def told(so_far: Report, last: int) -> None:
        click.echo(f"seal {so_far.first_number + so_far.seals - 1} of {last}, {so_far.rows} rows", err=True)

    anchor_file = file or get_settings().audit_anchor
    when = since.replace(tzinfo=UTC) if since else None
    report = verify(who=WHO, since=when, anchor_file=anchor_file, told=told)
    for finding in report.findings:
        click.echo(f"{finding.code}: {finding.words}")
    if report.cut:
        click.echo("more is wrong; only the first ones are told")
    pruned = f", {report.pruned} batches taken away by retention" if report.pruned else ""
    anchors = f", {report.anchors} anchors compared" if anchor_file else ", no anchor file to compare with"
    click.echo(f"{report.seals} seals, {report.rows} rows{pruned}{anchors}")
    if not report.is_good:
        sys.exit(1)
    click.echo("the chain holds")


@audit.command("anchor")
@click.argument("file", type=_FILE)
@on_database
def anchor_command(file: Path) -> None:
    """Append the head of the chain to FILE, which should lie on another machine or where nothing can be taken back."""
    from dispatchlog.audit.anchors import write_anchor

    anchor = write_anchor(file, who=WHO)
    click.echo(f"seal {anchor.number} is anchored in {file}" if anchor else "nothing is sealed yet")


@audit.command("export")
@click.argument("file", type=_FILE)
@click.option("--from", "first", type=_DAY, required=True, help="The first day (UTC) of sealing.")
@click.option("--to", "last", type=_DAY, required=True, help="The last day; it is included.")
@click.option("--with-identifiers", "identifiers", is_flag=True, help="Every row as it was sealed; needs --reason.")
@click.option("--reason", default="", help="Why; it is kept.")
@on_database
def export_command(file: Path, first: datetime, last: datetime, *, identifiers: bool, reason: str) -> None:
    """Write what was sealed to FILE (JSON lines, gzipped for .gz) for an auditor to recompute, as the tables' owner."""
    from dispatchlog.audit.exporting import export

    if first > last:
        raise click.UsageError("--from is after --to")

    done = export(
        owner_url(),
        file,
        first=first.date(),
        last=last.date(),
        actor=WHO,
        identifiers=identifiers,
        reason=reason,
    )
    click.echo(f"{done.seals} seals and {done.rows} rows in {file}, SHA-256 of all but its last line {done.sha256}")
    if done.wrong:
        click.echo(f"these seals do not hold: {', '.join(map(str, done.wrong[:20]))}")
        sys.exit(1)


@audit.command("looks")
@click.option("--subject", default="", help="The id of a patient, ticket, order or dispatch.")
@click.option("--actor", default="", help="An account's address, or service:NAME.")
@click.option("--since", type=_MOMENT, help="Not before this day or moment (UTC).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many at the most.")
@on_database
def looks_command(subject: str, actor: str, since: datetime | None, limit: int) -> None:
    """Say who looked at patients' data, the newest first."""
    from dispatchlog.audit.looks import looks

    when = since.replace(tzinfo=UTC) if since else None
    found = looks(subject=subject, actor=actor, since=when, limit=limit)
    show_table(
        (f"{row['at']:%Y-%m-%dT%H:%M:%SZ}", row["actor"], row["what"], row["subject"] or _asked(row), row["why"])
        for row in found
    )


def _asked(row: dict[str, object]) -> str:
    """A list's filter in one cell; what was searched for is not known."""
    filtered = row["filter"]
    assert isinstance(filtered, dict)  # noqa: S101  (for the type checker: so is the column)
    return ",".join(f"{name}={'…' if value is True else value}" for name, value in filtered.items()) or "-"
