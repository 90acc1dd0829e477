"""The commands `dispatchlog tickets`: old prescriptions and threads get tickets. Owns words, not rules."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from dispatchlog.shell import explained, owner_url, show_table

if TYPE_CHECKING:
    from dispatchlog.systems.tickets.backfill import BackfillReport


@click.group()
def tickets() -> None:
    """Tickets of prescriptions, as the tables' owner (DATABASE_OWNER_URL, else DATABASE_URL)."""


def _counted(report: BackfillReport) -> str:
    return f"{report.tickets} tickets, {report.threads} old threads linked, {sum(report.left.values())} left alone"


@tickets.command("backfill")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Orders per transaction.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@explained
def backfill_command(*, dry_run: bool, batch: int, as_json: bool) -> None:
    """Make a ticket for every old prescription and link its thread. It may be ended and run again at any time."""
    from dispatchlog.systems.tickets.backfill import backfill

    def told(so_far: BackfillReport) -> None:
        click.echo(f"so far: {_counted(so_far)}", err=True)

    report = backfill(owner_url(), dry_run=dry_run, batch=batch, told=told)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(report)}))
        return
    click.echo(f"{'would be: ' if dry_run else ''}{_counted(report)}")
    for code, count in report.left.items():
        click.echo(f"{code}: {count}")
    if report.left:
        click.echo("docs/tickets-migration.md says what each code asks for")


@tickets.command("report")
@click.option("--code", help="List what was left alone for this reason, by id.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@explained
def report_command(*, code: str | None, as_json: bool) -> None:
    """Say how far the backfill is, and what it left alone."""
    from dispatchlog.systems.tickets.backfill import findings, standing

    if code:
        found = findings(owner_url(), code=code.upper())
        if as_json:
            click.echo(json.dumps([{"kind": kind, "id": str(each)} for kind, each, _ in found]))
        else:
            show_table((kind, str(each)) for kind, each, _ in found)
        return
    stands = standing(owner_url())
    left = [{"kind": kind, "code": why, "count": count} for (kind, why), count in stands.left.items()]
    if as_json:
        click.echo(json.dumps({**asdict(replace(stands, left={})), "left": left}))
        return
    click.echo(f"{stands.tickets} tickets, {stands.linked_threads} threads of tickets")
    click.echo(f"without a ticket: {stands.old_threads} threads, {stands.old_prescriptions} prescriptions")
    show_table((str(each["kind"]), str(each["code"]), str(each["count"])) for each in left)
