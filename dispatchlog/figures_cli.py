"""The commands `dispatchlog figures`: whether the figures of messages are right, and counting them anew. Owns words."""

from __future__ import annotations

import sys
from datetime import date, datetime

import click

from dispatchlog.shell import on_database, show_table

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_COUNTS = ("sent", "delivered", "opened", "clicked", "replied", "bounced", "unsubscribed")


@click.group()
def figures() -> None:
    """Figures of messages to patients, by the day (UTC) on which they were sent."""


def _days(first: datetime, last: datetime) -> tuple[date, date]:
    if first > last:
        raise click.UsageError("--from is after --to")
    return first.date(), last.date()


@figures.command("check")
@click.option("--from", "first", type=_DAY, required=True, help="The first day.")
@click.option("--to", "last", type=_DAY, required=True, help="The last day; it is included.")
@on_database
def check_command(first: datetime, last: datetime) -> None:
    """Compare the figures with the log; exit code 1 where they differ."""
    from dispatchlog.systems.outreach.stats.rollup import differences

    days = _days(first, last)

    found = differences(*days)
    if not found:
        click.echo("the figures are what counting the log gives")
        return
    show_table([("of", "channel", "purpose", "too many"), *(_line(row) for row in found)])
    click.echo("put them right with: dispatchlog figures rebuild", err=True)
    sys.exit(1)


def _line(row: dict[str, object]) -> tuple[str, str, str, str]:
    of_campaign = f"campaign {row['campaign_id']} {row['step']} {row['variant']}".rstrip()
    wrong = [f"{name} {row[f'{name}_count']:+d}" for name in _COUNTS if row[f"{name}_count"]]
    return str(row["date"] or of_campaign), str(row["channel"]), str(row["purpose"]), ", ".join(wrong)


@figures.command("rebuild")
@click.option("--from", "first", type=_DAY, required=True, help="The first day.")
@click.option("--to", "last", type=_DAY, required=True, help="The last day; it is included.")
@on_database
def rebuild_command(first: datetime, last: datetime) -> None:
    """Count the days anew from the log, in one transaction; messages go on meanwhile."""
    from dispatchlog.systems.outreach.stats.rollup import rebuild

    days = _days(first, last)

    written = rebuild(*days)
    click.echo(f"{written} figures were wrong and are right now" if written else "every figure was right")
