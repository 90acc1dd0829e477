"""Between the password and the code: who has given the first and owes the second. Owns the session's note of it.

Until the code has come nobody is signed in: the session names no user, and to every page but that of the code they are a
stranger.
"""

from __future__ import annotations

import time
from typing import Any

from flask import redirect, request, session, url_for
from flask_security.tf_plugin import TfPlugin
from werkzeug.wrappers import Response

from dashboard.sessions import OWES_CODE_KEY
from dispatchlog import second_factor

# How long after the password the code is still taken.
PATIENCE_SECONDS = 600


class CodeStep(TfPlugin):
    """What Flask-Security asks, once the password was right, whether that is enough."""

    def tf_enter(self, user: Any, *_: Any, **__: Any) -> Response | None:
        """To the code's page where the account has a second factor; None lets its person in."""
        if not second_factor.is_set_up(user.id):
            return None
        session[OWES_CODE_KEY] = {"who": user.fs_uniquifier, "at": int(time.time())}
        return redirect_to_code(next_path=request.args.get("next"))


def who_owes_code() -> str | None:
    """What the sessions of whoever owes the code here will name; None where nobody does, or for too long already."""
    note = session.get(OWES_CODE_KEY)
    if not note or time.time() - note["at"] > PATIENCE_SECONDS:
        return None
    return str(note["who"])


def forget() -> None:
    """Nobody owes a code here any more."""
    session.pop(OWES_CODE_KEY, None)


def redirect_to_code(*, next_path: str | None) -> Response:
    """To the page that takes the code, and on to `next_path` afterwards."""
    return redirect(url_for("code.ask", next=next_path or None), 303)
