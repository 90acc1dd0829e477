"""How the commands of `dispatchlog` speak: errors in a line that says what next, and tables. Opens their database.

Owns no command and no rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import click
import peewee
import psycopg2
from pydantic import ValidationError

from dispatchlog.engine.database import configure, connected
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.local.running import advice
from dispatchlog.settings import Settings, get_settings

P = ParamSpec("P")
R = TypeVar("R")

MARKS = {"ok": "green", "warning": "yellow", "failed": "red"}


def fail(message: str, *, code: str) -> NoReturn:
    """End with exit code 1 and one line that says what and what next."""
    click.echo(f"{click.style('error', fg='red')} {code}: {message}", err=True)
    sys.exit(1)


def show_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their columns below each other."""
    rows = list(rows)
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors a person can do something about into one line that says which server and what to do."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            fail(f"{where}: {first['msg']}", code="BAD_SETTING")
        except (psycopg2.OperationalError, peewee.OperationalError, peewee.InterfaceError) as error:
            detail = first_line(error)
            if "does not exist" in detail and "role" in detail:
                fail(f"{detail}; run: dispatchlog migrate up", code="NOT_MIGRATED")
            what_next = advice(get_settings(), "DATABASE_URL", "check DATABASE_URL and that the server runs")
            fail(f"PostgreSQL does not answer ({detail}); {what_next}", code="DATABASE_UNAVAILABLE")
        except peewee.ProgrammingError as error:
            fail(f"{first_line(error)}; run: dispatchlog migrate up", code="NOT_MIGRATED")
        except DispatchlogError as error:
            fail(error.message, code=error.code)

    return run


def first_line(error: Exception) -> str:
    """What it says, without PostgreSQL's hints and places."""
    return str(error).strip().splitlines()[0]


def open_database(name: str) -> Settings:
    """Point this process at the database of the settings; they come back."""
    settings = settings_with_database()
    configure(settings.database_url, role=settings.application_role, name=name)
    return settings


def settings_with_database() -> Settings:
    """The settings; where they name no database, the command ends."""
    settings = get_settings()
    if not settings.database_url:
        message = "DATABASE_URL is not set and no dispatchlog up runs in this folder; set it, or run: dispatchlog up"
        fail(message, code="NO_DATABASE_URL")
    return settings


def on_database(command: Callable[P, R]) -> Callable[P, R]:
    """For commands that work in the database: it is opened, and errors are `explained`."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        open_database("dispatchlog cli")
        return command(*args, **kwargs)

    return explained(run)


def as_owner(command: Callable[P, R]) -> Callable[P, R]:
    """For commands that change what the application's role may not: connected as `owner_url`, errors `explained`."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        configure(owner_url(), role="", name="dispatchlog owner")
        with connected():
            return command(*args, **kwargs)

    return explained(run)


def owner_url() -> str:
    """DATABASE_OWNER_URL, else DATABASE_URL.

    Raises:
        DispatchlogError: neither is set.
    """
    url = get_settings().effective_owner_url
    if not url:
        raise DispatchlogError("neither DATABASE_OWNER_URL nor DATABASE_URL is set", code="NO_DATABASE_URL")
    return url
