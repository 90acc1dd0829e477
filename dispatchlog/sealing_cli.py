"""The command `dispatchlog seal`: what older releases wrote is sealed. Owns words, not statements."""

from __future__ import annotations

import click

from dispatchlog.shell import as_owner, owner_url


@click.command("seal")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Rows per transaction.")
@as_owner
def seal_command(*, batch: int) -> None:
    """Seal what older releases stored of patients in plain columns, while everything runs, as the tables' owner.

    DATABASE_OWNER_URL, else DATABASE_URL. It may be ended and run again at any time.
    """
    from dispatchlog.row_sealing import seal_rows

    done = seal_rows(
        owner_url(), batch=batch, told=lambda table, number: click.echo(f"{table}: {number} so far", err=True)
    )
    for table, number in done.items():
        click.echo(f"{table}: {number} sealed")
