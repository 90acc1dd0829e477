"""The commands `dispatchlog restored`: what has to be said after a backup was put back. Owns words, not rules."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dispatchlog.shell import as_owner, show_table

if TYPE_CHECKING:
    from dispatchlog.engine.restored import Restoration


@click.group()
def restored() -> None:
    """After a backup was restored, as the tables' owner (DATABASE_OWNER_URL, else DATABASE_URL)."""


@restored.command("take-over")
@click.option("--reason", required=True, help="What happened; stays with the log.")
@click.option(
    "--stopped-at",
    type=click.DateTime(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"]),
    help="When the last process of the lost log had certainly stopped (UTC); now if not given.",
)
@click.option("--same-place", is_flag=True, help="It was restored on the same server under the same name (PITR).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@as_owner
def take_over_command(*, reason: str, stopped_at: datetime | None, same_place: bool, as_json: bool) -> None:
    """Make a restored log safe to work on: nothing that may have left since the backup goes again by itself."""
    from dispatchlog.engine.restored import take_over
    from dispatchlog.systems import registry

    instant = None if stopped_at is None else stopped_at.replace(tzinfo=UTC)
    done = take_over(registry.lanes(), actor="cli", reason=reason, stopped_at=instant, same_place=same_place)
    if as_json:
        click.echo(json.dumps(asdict(done), default=str))
    else:
        _tell(done)


def _tell(done: Restoration) -> None:

    click.echo(
        f"what happened between {done.backup_at:%Y-%m-%d %H:%M:%S} and {done.stopped_at:%Y-%m-%d %H:%M:%S} UTC is missing"
    )
    head = ("lane", "gateway", "goes with its key", "is asked about", "in doubt", "not due yet", "had failed", "")
    show_table(
        [
            head,
            *(
                (
                    each.lane,
                    each.gateway,
                    *(
                        str(count or "-")
                        for count in (each.kept_key, each.asked, each.in_doubt, each.not_due, each.failed)
                    ),
                    "paused" if each.paused else "",
                )
                for each in done.lanes
            ),
        ]
    )
    click.echo(f"{done.sessions_ended} sessions ended: everybody signs in again")
    click.echo("next: get the list of what each provider accepted since then, and for each of them")
    click.echo("  dispatchlog restored compare LIST")
    click.echo("then settle what is in doubt, and let a paused lane go on with")
    click.echo('  dispatchlog resume LANE --reason "compared"')
    click.echo("docs/backup.md says what else is missing: stops, consents, accounts, tokens")


@restored.command("moved")
@click.option("--reason", required=True, help="Stays with the log.")
@as_owner
def moved_command(*, reason: str) -> None:
    """Say that the log is on another server as a whole, and nothing is missing in it."""
    from dispatchlog.engine.restored import moved

    changed = moved(actor="cli", reason=reason)
    click.echo("the log is known here now" if changed else "the log was known here already")


@restored.command("compare")
@click.argument("file", metavar="LIST", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@as_owner
def compare_command(file: Path, *, as_json: bool) -> None:
    """Compare with a provider's LIST: a text file with a line, and in it our key, for each message that it accepted."""
    from dispatchlog.engine.comparing import compare
    from dispatchlog.systems import registry

    with file.open(encoding="utf-8", errors="replace") as lines:
        found = compare(registry.lanes(), lines, source=file.name, actor="cli")
    if as_json:
        click.echo(json.dumps(asdict(found), default=str))
        return
    click.echo(
        f"{found.agreed} agree, {found.proved} proved as sent, {len(found.lost)} lost,"
        f" {found.without_key} lines without a key"
    )
    for each in found.lost:
        click.echo(f"lost: {each}: it left, and the log does not have it any more")
    for each in found.cancelled:
        click.echo(f"left all the same: {each} is cancelled here, and the list has it")


@restored.command("losses")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@as_owner
def losses_command(*, as_json: bool) -> None:
    """List what left and was lost with the old log, as far as providers' lists have told."""
    from dispatchlog.engine.comparing import losses

    found = losses()
    if as_json:
        click.echo(
            json.dumps([{"dispatch_id": str(each), "generation": number, "list": of} for each, number, of in found])
        )
    else:
        show_table((str(each), str(number), of) for each, number, of in found)
