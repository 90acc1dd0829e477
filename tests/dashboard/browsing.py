"""Owns a small browser over Flask's test client: it signs in as people do and sends the CSRF token of the page it saw."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from dispatchlog.people import create_user

PASSWORD = "a long sentence of tests"
# For a page to show what it shows after a moment: long enough for a busy machine.
PATIENCE_MS = 60_000
# Those who see what is sent; the others are parties of tickets alone.
STAFF = ("viewer", "support", "pharmacist", "auditor", "admin")
ROLES = (*STAFF, "doctor", "patient")
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


@dataclass
class Visitor:
    """One browser with its own cookies."""

    client: FlaskClient
    token: str = ""

    def get(self, path: str, **arguments: Any) -> TestResponse:
        answer = self.client.get(path, **arguments)
        if answer.mimetype == "text/html" and (found := _TOKEN.search(answer.text)):
            self.token = found.group(1)
        return answer

    def post(self, path: str, *, follow: bool = False, **fields: Any) -> TestResponse:
        """POST a form with the token last seen."""
        return self.client.post(path, data={"csrf_token": self.token, **fields}, follow_redirects=follow)

    def sign_in(self, email: str, password: str = PASSWORD, *, next_path: str = "") -> TestResponse:
        self.get("/sign-in" + (f"?next={next_path}" if next_path else ""))
        answer = self.post("/sign-in" + (f"?next={next_path}" if next_path else ""), email=email, password=password)
        if answer.status_code == 302:
            self.get("/help")  # any page has the token, and this one asks the database for nothing
        return answer


@dataclass
class Dashboard:
    """The application on a test's own database, with one account per role."""

    app: Flask

    def visitor(self) -> Visitor:
        return Visitor(self.app.test_client())

    def as_(self, role: str) -> Visitor:
        """Somebody who is signed in with this role."""
        visitor = self.visitor()
        assert visitor.sign_in(f"{role}@example.org").status_code == 302
        return visitor


@contextmanager
def served(app: Flask, *, port: int = 0) -> Iterator[str]:
    """The address of a real server with this application; it looks often whether it is to end."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_people() -> None:
    """One account per role, all with PASSWORD."""
    for role in ROLES:
        create_user(f"{role}@example.org", roles=[role], password=PASSWORD)


def page_of(row: Any, lane: str = "health_information") -> str:
    """The address of a dispatch's page."""
    return f"/dispatches/{lane}/{row['id']}"


def action(row: Any, name: str, lane: str = "health_information") -> str:
    """The address of an action on a dispatch."""
    return f"{page_of(row, lane)}/{name}"
