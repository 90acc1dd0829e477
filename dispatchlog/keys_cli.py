"""The commands `dispatchlog keys`: which keys there are, and other ones in their place. Owns words, not rules."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dispatchlog.shell import as_owner, on_database, show_table

if TYPE_CHECKING:
    from dispatchlog.keys.rotation import Rotation
    from dispatchlog.keys.standing import Standing

_ACTOR = "cli"
_FOR = {"seal": "sealing", "find": "hashes"}


@click.group()
def keys() -> None:
    """Keys under which secrets and patients' data are sealed (docs/keys.md), as the tables' owner (DATABASE_OWNER_URL)."""


@keys.command("status")
@on_database
def status_command() -> None:
    """Say which keys there are, how much is sealed under each, and which secret keys are still needed.

    It counts every sealed value. Exit code 1 while a data key cannot be opened.
    """
    from dispatchlog.keys.standing import look

    standing = look()
    _show_keys(standing)
    _show_rows(standing)
    _show_secret_keys(standing)
    sys.exit(1 if standing.locked else 0)


def _show_keys(standing: Standing) -> None:
    if not standing.keys:
        click.echo("there are no data keys yet; dispatchlog keys create makes them")
        return
    rows = [
        (str(key.id), _FOR[key.purpose], key.state, f"{key.created_at:%Y-%m-%d %H:%M} UTC", key.wrapped_by or "?")
        for key in standing.keys
    ]
    show_table([("key", "for", "state", "made", "wrapped under"), *rows])


def _show_rows(standing: Standing) -> None:
    rows = [
        (column, f"key {key_id}" if key_id else "old format", str(number))
        for column, found in standing.values.items()
        for key_id, number in found.items()
    ]
    if rows:
        click.echo()
        show_table([("column", "sealed under", "values"), *rows])


def _show_secret_keys(standing: Standing) -> None:
    from dispatchlog.keys.secret_keys import secret_keys

    click.echo()
    show_table([("secret key", "fingerprint"), *((each.name, each.fingerprint) for each in secret_keys())])
    click.echo()
    for key in standing.locked:
        click.echo(
            f"data key {key.id} opens with none of the secret keys of this process; name the one that wrapped it"
        )
    if standing.in_old_format:
        said = f"{standing.in_old_format} values need a secret key itself"
        click.echo(f"{said}; bring them under a data key: dispatchlog keys rotate-data")
    if standing.wrapped_by_old:
        click.echo("data keys are wrapped under an old secret key; dispatchlog keys rotate-secret wraps them anew")
    for name in standing.unused:
        click.echo(f"{name} wraps no data key{'' if standing.in_old_format else ' and opens nothing sealed'}")
    if not (standing.locked or standing.in_old_format or standing.wrapped_by_old):
        click.echo("everything opens with DISPATCHLOG_SECRET_KEY")


@keys.command("create")
@click.option("--although-unreadable", is_flag=True, help="Nothing opens what was sealed before, and it is given up.")
@as_owner
def create_command(*, although_unreadable: bool) -> None:
    """Make the first data keys now, not when something is first sealed."""
    from dispatchlog.keys.beginning import create_first_keys

    made = create_first_keys(although_unreadable=although_unreadable)
    click.echo("the first data keys are made" if made else "there are data keys already; nothing was changed")


@keys.command("rotate-secret")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_owner
def rotate_secret_command(*, yes: bool) -> None:
    """Wrap the data keys under the DISPATCHLOG_SECRET_KEY of this shell; DISPATCHLOG_OLD_SECRET_KEYS opens them.

    At once, whatever is sealed. Every process must know both secret keys before.
    """
    from dispatchlog.keys.rotation import rotate_secret
    from dispatchlog.keys.secret_keys import secret_keys

    if not yes:
        click.echo(f"The fingerprint of DISPATCHLOG_SECRET_KEY here is {secret_keys()[0].fingerprint}.")
        click.confirm("Does every process have this one (keys status in its environment shows it)?", abort=True)
    numbers = rotate_secret(actor=_ACTOR)
    if numbers:
        click.echo(f"wrapped anew under DISPATCHLOG_SECRET_KEY: data key {', '.join(map(str, numbers))}")
    else:
        click.echo("every data key is wrapped under DISPATCHLOG_SECRET_KEY already")


@keys.command("rotate-data")
@click.option("--go-on", is_flag=True, help="Under the key in force: no new one is made.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Rows per transaction.")
@as_owner
def rotate_data_command(*, go_on: bool, batch: int) -> None:
    """Seal everything anew under a new data key, while everything runs.

    It may be ended and run again at any time; then it goes on. Exit code 1 where something cannot be read.
    """
    from dispatchlog.keys.rotation import rotate_data

    def told(so_far: Rotation) -> None:
        click.echo(f"so far: {so_far.resealed} values sealed anew", err=True)

    done = rotate_data(actor=_ACTOR, go_on=go_on, batch=batch, told=told)
    made = "made for this" if done.is_new else "which was there"
    click.echo(f"{done.resealed} values sealed anew under data key {done.key_id}, {made}")
    if done.unreadable:
        click.echo(f"{done.unreadable} values cannot be read and stay as they are, such as {done.examples[0]}")
        sys.exit(1)


@keys.command("retire")
@click.argument("number", type=click.IntRange(1))
@as_owner
def retire_command(number: int) -> None:
    """Open nothing under data key NUMBER from now on; refused while anything is sealed under it."""
    from dispatchlog.keys.rotation import retire

    retire(number, actor=_ACTOR)
    click.echo(f"data key {number} is retired")
