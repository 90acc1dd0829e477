"""The commands `dispatchlog retention`: how long data stay, and what is kept back. Owns words, not rules."""

from __future__ import annotations

import json
import sys

import click

from dispatchlog.shell import on_database, show_table


@click.group()
def retention() -> None:
    """How long data stay, and what is kept back whatever its age."""


@retention.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@on_database
def show_command(*, as_json: bool) -> None:
    """List what leaves each table after how many days, and how many rows are due now."""
    from dispatchlog.retention.policies import MOST_COUNTED, due, policies

    found = [(each, due(each)) for each in policies()]
    if as_json:
        click.echo(
            json.dumps(
                [{"name": p.name, "table": p.target, "act": p.act, "days": p.days, "due": count} for p, count in found]
            )
        )
        return
    show_table(
        [
            ("policy", "table", "", "after", "due now", "why"),
            *(
                (
                    p.name,
                    p.target,
                    p.act,
                    "never" if p.days is None else f"{p.days} days",
                    f"{count}{'+' if count == MOST_COUNTED else ''}",
                    p.why,
                )
                for p, count in found
            ),
        ]
    )


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would leave.")
@click.option("--policy", "names", multiple=True, help="Only this policy; repeatedly, only these.")
@click.option("--most", type=click.IntRange(1), default=None, help="Rows of each policy at the most.")
@on_database
def run_command(*, dry_run: bool, names: tuple[str, ...], most: int | None) -> None:
    """Let go what is due, now, in small batches. The clock does the same at night."""
    from dispatchlog.retention.policies import due, policies, policy_named
    from dispatchlog.retention.runs import MOST_PER_RUN
    from dispatchlog.retention.runs import run as let_leave

    chosen = [policy_named(name) for name in names] or policies()
    if dry_run:
        counted = [(each, due(each)) for each in chosen]
        show_table((f"would {p.act}", p.name, str(count)) for p, count in counted if count)
        return
    done = let_leave(actor="cli", chosen=chosen, most=most or MOST_PER_RUN)
    show_table((each.policy, str(each.rows), "more is due" if each.more else each.refused) for each in done)
    if any(each.refused for each in done):
        sys.exit(1)
    click.echo("nothing else is due" if not any(each.more for each in done) else "run it again for the rest")


@retention.command("set")
@click.argument("policy")
@click.argument("days", metavar="DAYS|never")
@click.option("--reason", required=True, help="Stays with it.")
@on_database
def set_command(policy: str, days: str, *, reason: str) -> None:
    """Let rows of POLICY leave after DAYS, or never."""
    from dispatchlog.retention.policies import set_days

    if days != "never" and not days.isdecimal():
        raise click.UsageError("DAYS is a number or: never")

    after = set_days(policy, None if days == "never" else int(days), actor="cli", reason=reason)
    click.echo(f"{after.name}: {'never' if after.days is None else f'after {after.days} days'}")


@retention.command("hold")
@click.argument("scope", type=click.Choice(["patient", "subject", "order", "dispatch", "organisation"]))
@click.argument("value")
@click.option("--reason", required=True, help="Stays with it.")
@on_database
def hold_command(scope: str, value: str, *, reason: str) -> None:
    """Keep everything of a patient, subject, order, dispatch or organisation back from age and erasure."""
    from dispatchlog.retention.holds import Scope, keep

    kept = keep(Scope(scope), value, actor="cli", reason=reason)
    click.echo(f"hold {kept.id}: {kept.scope} kept back since {kept.held_at:%Y-%m-%d %H:%M} UTC by {kept.held_by}")


@retention.command("release")
@click.argument("hold", type=int)
@click.option("--reason", required=True, help="Stays with it.")
@on_database
def release_command(hold: int, *, reason: str) -> None:
    """End the hold of this number."""
    from dispatchlog.retention.holds import let_go

    click.echo(f"hold {let_go(hold, actor='cli', reason=reason).id} has ended")


@retention.command("holds")
@click.option("--ended", is_flag=True, help="Also those that have ended.")
@on_database
def holds_command(*, ended: bool) -> None:
    """List what is kept back, since when, by whom and why."""
    from dispatchlog.retention.holds import holds

    show_table(
        (str(h.id), h.scope, h.value, f"{h.held_at:%Y-%m-%d %H:%M} UTC", h.held_by, h.reason)
        for h in holds(ended=ended)
    )
