"""A command on the connection of the tables' owner, who alone may change what the application never may. Owns no rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def as_owner(command: Callable[P, R]) -> Callable[P, R]:
    """The command on DATABASE_OWNER_URL, else DATABASE_URL, without the application's role; errors are explained."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from dispatchlog.engine.database import configure, connected
        from dispatchlog.engine.errors import DispatchlogError
        from dispatchlog.settings import get_settings
        from dispatchlog.shell import explained

        @explained
        def on_it() -> R:
            url = get_settings().effective_owner_url
            if not url:
                raise DispatchlogError("neither DATABASE_OWNER_URL nor DATABASE_URL is set", code="NO_DATABASE_URL")
            configure(url, role="", name="dispatchlog owner")
            with connected():
                return command(*args, **kwargs)

        return on_it()

    return run
