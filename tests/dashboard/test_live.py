"""The stream of changes over a real server: what it tells, to whom, when it ends, and that it starves nobody."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from dashboard import create_app, live, live_hub
from dispatchlog import people
from dispatchlog.engine import holds
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import acting_as
from dispatchlog.systems.tickets.notifications import LANE, enqueue_notification
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import Dashboard, Visitor, make_people, served
from tests.dashboard.samples import form_in, place_order, send_due, the_row
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.systems.ticket_rows import Placed, sent_ticket
from tests.systems.ticket_samples import Care, make_care

WAIT_SECONDS = 60
# A session is bound to the browser that signed in, and that was the test client.
BROWSER = f"Werkzeug/{version('werkzeug')}"


@dataclass
class Live:
    """The dashboard behind a real server, and the streams that a test opened on it."""

    dash: Dashboard
    url: str
    stack: ExitStack
    database_url: str

    def open(self, visitor: Visitor, **headers: str) -> Listener:
        return self.stack.enter_context(Listener(self.url, cookies(visitor), headers))

    @property
    def streams(self) -> int:
        return len(live.hub_of(self.dash.app)) if "dispatchlog.live" in self.dash.app.extensions else 0


class Listener:
    """One stream, read in a thread."""

    def __init__(self, url: str, cookie: str, headers: dict[str, str]) -> None:
        self.events: list[tuple[str, Any, str]] = []
        self.comments = 0
        self.ended = threading.Event()
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT_SECONDS)
        self._connection.request("GET", "/live", headers={"Cookie": cookie, "User-Agent": BROWSER, **headers})
        self.socket = self._connection.sock
        self.answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Listener:
        if self.answer.status == 200:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        import contextlib
        import socket

        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _read(self) -> None:
        name = data = ""
        position = ""
        try:
            for line in self.answer:
                text = line.decode().rstrip("\r\n")
                if text.startswith(":"):
                    self.comments += 1
                field, _, value = text.partition(": ")
                name = value if field == "event" else name
                data = value if field == "data" else data
                position = value if field == "id" else position
                if not text and name:
                    self.events.append((name, json.loads(data), position))
                    name = ""
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended.set()

    def moved(self) -> dict[str, str]:
        """Where each dispatch is now, by its id."""
        return {k: v for name, data, _ in self.events if name == "moved" for k, v in data["dispatches"].items()}

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]


def cookies(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie("dispatchlog")
    return f"dispatchlog={cookie.value}" if cookie else ""


@pytest.fixture
def serve(settings_env: Settings, cheap_passwords: None) -> Iterator[Callable[..., Live]]:
    """Starts the dashboard with these settings behind a real server."""
    forget_process_state()
    with ExitStack() as stack:

        def start(**changes: Any) -> Live:
            app = create_app(settings_env.model_copy(update=changes))
            make_people()
            return Live(Dashboard(app), stack.enter_context(served(app)), stack, settings_env.database_url)

        yield start
    forget_process_state()


@pytest.fixture
def here(serve: Callable[..., Live]) -> Live:
    return serve()


def settled(listener: Listener) -> None:
    """Wait until the stream's tail has begun, for what was before is told as everything."""
    until(lambda: "all" in listener.names(), what="the tail began")


def test_a_move_is_told_with_lane_dispatch_and_status_and_nothing_else(here: Live) -> None:
    listener = here.open(here.dash.as_("viewer"))
    settled(listener)
    with connected():
        row = form_in("IN_DOUBT", email="ada.lovelace@example.org")
    until(lambda: listener.moved().get(str(row["id"])) == "IN_DOUBT", what="the move is told")
    told = json.dumps(listener.events)
    assert "lovelace" not in told
    assert "VO-" not in told
    assert {tuple(sorted(data)) for name, data, _ in listener.events if name == "moved"} == {
        ("dispatches", "lane", "more")
    }


def test_pausing_a_lane_is_told(here: Live) -> None:
    listener = here.open(here.dash.as_("viewer"))
    settled(listener)
    before = listener.names().count("all")
    holds.hold(holds.Target("lane", "health_information"), actor="bo@example.org", reason="why not")
    until(lambda: listener.names().count("all") > before, what="the pause is told")


def test_all_streams_of_a_process_share_one_connection_to_the_database(here: Live) -> None:
    viewer = here.dash.as_("viewer")
    settled(here.open(viewer))
    listeners = [here.open(viewer) for _ in range(5)]
    for listener in listeners:
        until(lambda listener=listener: listener.events, what="it began")
    with connected():
        row = form_in("SENT")
        for listener in listeners:
            until(lambda listener=listener: str(row["id"]) in listener.moved(), what="everybody is told")
        used = fetch_one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'dispatchlog live'"
        )[0]
    assert used == 1


def test_a_page_that_lost_its_stream_is_told_what_it_missed(here: Live) -> None:
    viewer = here.dash.as_("viewer")
    first = here.open(viewer)
    settled(first)
    with connected():
        form_in("SENT", number="VO-1")
    until(lambda: first.events[-1][2] and "moved" in first.names(), what="it knows a position")
    position = first.events[-1][2]
    first.leave()
    until(lambda: here.streams == 0, what="its slot is free")
    with connected():
        row = form_in("SENT", number="VO-2")
    again = here.open(viewer, **{"Last-Event-ID": position})
    until(lambda: str(row["id"]) in again.moved(), what="what it missed is told")
    assert again.events[0][1] == {"resumed": True}


@pytest.mark.parametrize("position", ["", "x", "-5", "1; DROP TABLE", "9" * 30])
def test_a_position_that_is_none_begins_anew(here: Live, position: str) -> None:
    listener = here.open(here.dash.as_("viewer"), **{"Last-Event-ID": position})
    until(lambda: listener.events, what="it began")
    assert listener.events[0][1] == {"resumed": False}


def sign_out(visitor: Visitor) -> None:
    visitor.post("/sign-out")


def disable(_: Visitor) -> None:
    people.disable_user("viewer@example.org")


def forget_roles(_: Visitor) -> None:
    people.set_roles("viewer@example.org", [])


def be_idle(_: Visitor) -> None:
    with transaction("test"):
        execute("UPDATE web_sessions SET last_seen_at = now() - interval '61 minutes'")


def be_old(_: Visitor) -> None:
    with transaction("test"):
        execute("UPDATE web_sessions SET created_at = now() - interval '11 hours'")


@pytest.mark.parametrize("end", [sign_out, disable, forget_roles, be_idle, be_old])
def test_it_ends_with_the_session(here: Live, end: Callable[[Visitor], None]) -> None:
    visitor = here.dash.as_("viewer")
    other = here.dash.as_("support") if end not in (be_idle, be_old) else None
    listener = here.open(visitor)
    staying = here.open(other) if other else None
    settled(listener)
    end(visitor)
    assert listener.ended.wait(WAIT_SECONDS)
    assert listener.names()[-1] == "over"
    assert staying is None or not staying.ended.is_set()


def test_it_does_not_keep_the_session_alive(here: Live) -> None:
    visitor = here.dash.as_("viewer")
    with transaction("test"):
        execute("UPDATE web_sessions SET last_seen_at = now() - interval '10 minutes' WHERE user_id IS NOT NULL")
    with connected():
        before = fetch_all("SELECT encode(id_hash, 'hex'), last_seen_at FROM web_sessions ORDER BY 1")
    listener = here.open(visitor)
    settled(listener)
    with connected():
        assert fetch_all("SELECT encode(id_hash, 'hex'), last_seen_at FROM web_sessions ORDER BY 1") == before


def test_without_a_session_there_is_no_stream(here: Live) -> None:
    listener = here.open(here.dash.visitor())
    assert listener.answer.status == 303
    assert here.streams == 0


def test_when_every_slot_is_taken_the_next_is_refused_and_the_rest_of_the_site_answers(
    serve: Callable[..., Live],
) -> None:
    here = serve(live_streams=2)
    viewer = here.dash.as_("viewer")
    taken = [here.open(viewer) for _ in range(2)]
    refused = here.open(viewer)
    assert (refused.answer.status, refused.answer.headers["Retry-After"]) == (503, "5")
    assert viewer.get("/").status_code == 200
    taken[0].leave()
    until(lambda: here.streams == 1, what="the slot of a page that left is free")
    assert here.open(viewer).answer.status == 200


def test_one_session_cannot_take_every_slot(here: Live) -> None:
    viewer = here.dash.as_("viewer")
    opened = [here.open(viewer).answer.status for _ in range(live_hub.MOST_PER_SESSION + 1)]
    assert opened == [200] * live_hub.MOST_PER_SESSION + [503]
    assert here.open(here.dash.as_("support")).answer.status == 200


def test_no_slots_at_all_means_polling(serve: Callable[..., Live]) -> None:
    here = serve(live_streams=0)
    assert here.open(here.dash.as_("viewer")).answer.status == 503


def test_silence_is_broken_by_comments(here: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.1)
    listener = here.open(here.dash.as_("viewer"))
    until(lambda: listener.comments >= 2, what="heartbeats")


def test_it_goes_on_when_its_connection_to_the_database_breaks(here: Live) -> None:
    listener = here.open(here.dash.as_("viewer"))
    settled(listener)
    before = listener.names().count("all")
    with owner(here.database_url) as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'dispatchlog live'"
        )
        assert cursor.fetchall() == [(True,)]
    until(lambda: listener.names().count("all") > before, what="pages read everything anew")
    with connected():
        place_order("VO-AFTER")
    until(lambda: "PENDING" in listener.moved().values(), what="and moves are told again")
    assert not listener.ended.is_set()


def test_a_stopping_process_ends_its_streams(here: Live) -> None:
    listener = here.open(here.dash.as_("viewer"))
    settled(listener)
    live_hub.close_all()
    assert listener.ended.wait(WAIT_SECONDS)
    assert here.open(here.dash.as_("viewer")).answer.status == 503


def test_no_cache_or_proxy_keeps_events_back(here: Live) -> None:
    headers = here.open(here.dash.as_("viewer")).answer.headers
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"


def notify(care: Care, ticket: Placed) -> str:
    """Another notification of the ticket is sent; its dispatch."""
    about = {"id": ticket.ticket_id, "ticket_number": ticket.number, "ticket_type": "prescription", "trace_id": ""}
    with connected():
        with acting_as(care.doctor):
            enqueue_notification(about, kind="SENT", party_id=care.pharmacy.party_id, about=uuid4().hex)
        send_due(LANE)
        return str(the_row(LANE)["id"])


def test_a_stream_tells_nothing_of_a_lane_that_its_person_may_not_see(here: Live) -> None:
    pharmacist, viewer = (here.open(here.dash.as_(role)) for role in ("pharmacist", "viewer"))
    settled(pharmacist)
    settled(viewer)
    with connected():
        care = make_care()
        ticket = sent_ticket(care)
    notified = notify(care, ticket)
    row = form_in("SENT")
    for each in (viewer, pharmacist):
        until(lambda each=each: each.moved().get(str(row["id"])) == "SENT", what="the form's move is told")  # type: ignore[misc]
    assert viewer.moved()[notified] == "SENT"
    assert LANE not in json.dumps(pharmacist.events)
    people.set_roles("pharmacist@example.org", ["pharmacist", "viewer"])
    until(
        lambda: bool(notify(care, ticket)) and LANE in json.dumps(pharmacist.events),
        what="the new role counts in a stream that is open",
    )
