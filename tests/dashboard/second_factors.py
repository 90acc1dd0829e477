"""Owns authenticator apps for tests: second factors of real accounts, and the codes that their apps show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from passlib.totp import TOTP

from dispatchlog import second_factor
from dispatchlog.engine.database import connected, execute
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor


@dataclass
class App:
    """Somebody's authenticator app, and the recovery codes they kept."""

    secret: str
    recovery_codes: list[str]

    def code(self, *, steps_away: int = 0) -> str:
        """The code shown now, or so many half minutes from now."""
        at = datetime.now(UTC).timestamp() + 30 * steps_away
        return str(TOTP(key=self.secret, format="base32").generate(time=int(at)).token)


def give_second_factor(email: str) -> App:
    """Set one up as if some while ago: the present code has not been used yet."""
    app = App(second_factor.new_secret(), [])
    _, app.recovery_codes = second_factor.set_up(email, secret=app.secret, code=app.code())
    forget_used_codes()
    return app


def forget_used_codes() -> None:
    """As if half a minute had passed for everybody."""
    with connected():
        execute("UPDATE staff_second_factors SET last_counter = 0")


def half_signed_in(dash: Dashboard, email: str) -> Visitor:
    """Somebody who has given the password and owes the code."""
    visitor = dash.visitor()
    visitor.get("/sign-in")
    answer = visitor.post("/sign-in", email=email, password=PASSWORD)
    assert (answer.status_code, answer.location) == (303, "/sign-in/code"), answer.location
    visitor.get("/sign-in/code")
    return visitor


def with_code(dash: Dashboard, role: str, app: App) -> Visitor:
    """Somebody who is signed in with this role, password and code."""
    visitor = half_signed_in(dash, f"{role}@example.org")
    forget_used_codes()
    answer = visitor.post("/sign-in/code", code=app.code())
    assert (answer.status_code, answer.location) == (303, "/")
    visitor.get("/account")
    return visitor


def problem_of(text: str) -> str:
    """What a form complains of."""
    found = re.search(r'id="problem">.*?<span>(.*?)</span>', text, re.S)
    return found.group(1) if found else ""
