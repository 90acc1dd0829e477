"""Keeps every look at patients' data: who, what, of whom, on what ground. Owns the writing of `patient_reads` by requests.

One row for a page or an answer, however many patients it shows; a list is kept as a look with a filter, by the filter's
names and by those values that cannot name anybody. The row is committed before the answer leaves, and nothing is shown that
cannot be kept. It costs no wait for the disk: what a crash of the database in that half second loses was shown to somebody,
which `docs/audit.md` says.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Response, current_app, g, request
from flask_login import current_user

from dashboard.access import PUBLIC, permission_of
from dashboard.context import acting_person
from dashboard.outreach_asking import PATIENT
from dashboard.proxies import client_address
from dashboard.read_register import ANSWERS, PAGES
from dashboard.sessions import BACKGROUND_HEADER
from dispatchlog.engine.database import connected, execute
from dispatchlog.tracing import current_trace_id

# What shows something: success, and a form that is shown again with what is wrong.
SHOWING: Final = frozenset({200, 201, 400, 409, 422})
# A page that reads itself again is one look for so long.
ONE_LOOK_SECONDS: Final = 600.0
_MOST_REMEMBERED = 10_000
# Filters that are chosen from a list.
_CHOICES: Final = frozenset(
    {
        "action",
        "age",
        "archived",
        "cause",
        "channel",
        "courier",
        "days",
        "escalated",
        "gateway",
        "kind",
        "lane",
        "left",
        "limit",
        "oldestFirst",
        "page",
        "pageSize",
        "part",
        "pharmacy",
        "purpose",
        "result",
        "route",
        "sample",
        "school",
        "show",
        "sort",
        "state",
        "status",
        "type",
        "unread",
        "within",
    }
)
# Whoever writes a telephone number or an identity card's into the address, as a choice or as a field, leaves none either.
_CHOICE = re.compile(r"(?!.*\d{7})[A-Za-z0-9_.:,-]{1,64}")
_NAMELESS = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\d")
_SUBJECT = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_NOT_FILTERS: Final = frozenset({"csrf_token", "back", "at", "cursor", "after", "before", "place"})

# One statement, and a page does not wait for the disk: the next flush, within half a second, takes it along.
_INSERT = """
WITH at_ease AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO patient_reads (actor, user_id, what, subject, why, filter, trace_id, ip_address)
    SELECT %s, %s::integer, %s, %s, %s, %s::jsonb, %s, %s FROM at_ease
"""


def install_reads(app: Flask) -> None:
    """Keep what the application's pages show."""
    app.extensions["dispatchlog.looks"] = Looks()
    app.after_request(_keep_page)


class Looks:
    """Which pages were looked at just now, by whom: what a page asks again by itself is no other look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_going_on(self, actor: str, address: str) -> bool:
        """Whether the same was looked at a moment ago; it is from now on."""
        now = time.monotonic()
        with self._lock:
            since = self._seen.get((actor, address))
            if since is not None and now - since < ONE_LOOK_SECONDS:
                return True
            self._seen[actor, address] = now
            self._seen.move_to_end((actor, address))
            while len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)
        return False


def keep_answer(name: str, *, actor: str, why: str, path: Mapping[str, str]) -> None:
    """Keep what an operation of the API has answered, where it shows patients' data."""
    if name in ANSWERS:
        _write(actor, None, f"api.{name}", _subject(ANSWERS[name], path), why)


def _keep_page(response: Response) -> Response:
    endpoint = request.endpoint or ""
    if endpoint not in PAGES or response.status_code not in SHOWING or request.method == "HEAD":
        return response
    permission = permission_of(current_app._get_current_object(), endpoint)  # type: ignore[attr-defined]
    by_link = permission == PUBLIC
    if not by_link and not current_user.is_authenticated:
        return response  # nothing is shown to whoever is not signed in
    # Of whoever opens a link no session is looked for.
    actor = PATIENT if by_link else acting_person()
    looks: Looks = current_app.extensions["dispatchlog.looks"]
    # Whoever says that the page asks by itself, without having looked, is not believed.
    if looks.is_going_on(actor, request.full_path) and BACKGROUND_HEADER in request.headers:
        return response
    subject = _subject(PAGES[endpoint], request.view_args or {})
    user_id, why = (None, "their own link") if by_link else (current_user.id, f"permission {permission}")
    _write(actor, user_id, endpoint, subject, why)
    return response


def _subject(name: str, path: Mapping[str, Any]) -> str:
    """Of whom or what: what the view named, or the value of the address; never a name, an address or a link's key."""
    found = str(g.get("read_subject", "") or (path.get(name, "") if name else ""))
    return found if _SUBJECT.fullmatch(found) else ""


def _write(actor: str, user_id: int | None, what: str, subject: str, why: str) -> None:
    values = (
        actor[:128],
        user_id,
        what[:64],
        subject,
        why[:200],
        json.dumps(_filter()),
        current_trace_id(),
        client_address()[:45] or None,
    )
    with connected():
        execute(_INSERT, values)


def _filter() -> dict[str, Any]:
    """What was asked for: of what may name somebody only that it was."""
    given = request.args if request.method == "GET" else request.form
    found: dict[str, Any] = {}
    for name in given:
        if name in _NOT_FILTERS or not _CHOICE.fullmatch(name):
            continue
        values = [value for value in given.getlist(name) if value]
        plain = all(_NAMELESS.fullmatch(value) or (name in _CHOICES and _CHOICE.fullmatch(value)) for value in values)
        if values and (plain or request.method == "GET"):
            found[name] = ",".join(values)[:200] if plain else True
    return found
