"""The commands `dispatchlog users` and `dispatchlog tokens`: who may sign in, and which services. Owns words, not rules."""

from __future__ import annotations

import click

from dispatchlog.shell import on_database, show_table


@click.group()
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


@click.group()
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
