"""Alerts start once and end once, whoever looks; they are told by a real mail server and a real webhook, once each."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from email.policy import default as modern
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr, ValidationError

from dispatchlog import alert_notices, alerts
from dispatchlog.alert_notices import send_due
from dispatchlog.alert_watch import AlertWatch
from dispatchlog.alerts import look, look_if_due
from dispatchlog.engine import holds
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.database import configure, connected, database, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.samples import form_in, make_due, scheduler_alive, worker_alive
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.ports import free_port

ADDRESSES = "on-call@example.org, desk@example.org"
SECRET = "shared with the receiver"
LONG_UP = 10_000.0


@dataclass
class Receiver:
    """A real mail server and a real web server that keep what they get; `answers` are the web server's next statuses."""

    mails: list[tuple[str, Any]] = field(default_factory=list)
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    settings: Settings = None  # type: ignore[assignment]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        reply = self.replies.pop(0) if self.replies else "250 OK"
        if reply.startswith("250"):
            self.mails.append((envelope.rcpt_tos[0], email.message_from_bytes(envelope.content, policy=modern)))
        return reply


@pytest.fixture
def receiver(settings_env: Settings) -> Iterator[Receiver]:
    registry.forget()
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    here = Receiver()

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = here.answers.pop(0) if here.answers else 204
            if status < 300:
                here.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to be printed."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    port = free_port()
    mail = Controller(here, hostname="127.0.0.1", port=port, ready_timeout=60)
    mail.start()
    here.settings = settings_env.model_copy(
        update={
            "smtp_url": f"smtp://127.0.0.1:{port}?tls=none",
            "alert_mail_to": ADDRESSES,
            "alert_webhook_url": f"http://127.0.0.1:{web.server_port}/hook",
            "alert_webhook_secret": SecretStr(SECRET),
            "alert_settle_seconds": 0,
            "sweep_seconds": 60,
            "public_url": "https://desk.example.org",
        }
    )
    yield here
    mail.stop()
    web.shutdown()
    thread.join()
    web.server_close()
    database.close_all()
    registry.forget()


def check(receiver: Receiver, *, up_seconds: float = LONG_UP, state: str = "closed", **changes: Any) -> None:
    """Let it be time to look, look, and tell."""
    with transaction("test"):
        execute("UPDATE dispatch_alert_checks SET checked_at = '2000-01-01'")
        execute("SELECT 1 FROM dispatch_alert_checks")
    known = receiver.settings.model_copy(update=changes)
    breakers = {"smtp": BreakerState(state)}
    assert look_if_due(known, registry.lanes(), breakers, who="test", up_seconds=up_seconds)
    send_due(known, who="test")


def listed() -> list[tuple[str, str, bool]]:
    with connected():
        rows = fetch_all("SELECT kind, subject, over_at IS NOT NULL FROM dispatch_alerts ORDER BY id")
    return [(kind, subject, over) for kind, subject, over in rows]


def test_it_is_told_once_at_the_start_and_once_when_it_is_over(receiver: Receiver) -> None:
    with connected():
        row = form_in("IN_DOUBT")
    for _ in range(3):
        check(receiver)
    assert listed() == [("in_doubt", "health_information", False)]
    assert sorted(address for address, _ in receiver.mails) == ["desk@example.org", "on-call@example.org"]
    assert [json.loads(body)["phase"] for _, body in receiver.posts] == ["started"]
    with transaction("test"):
        execute("UPDATE health_information_dispatch_logs SET in_doubt = false WHERE id = %s", (row["id"],))
    for _ in range(3):
        check(receiver)
    assert listed() == [("in_doubt", "health_information", True)]
    assert len(receiver.mails) == 4
    assert [json.loads(body)["phase"] for _, body in receiver.posts] == ["started", "over"]
    check(receiver)
    assert len(receiver.mails) == 4


def test_a_mail_says_what_and_since_when_and_shows_no_recipient(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT", email="ada.lovelace@example.org")
    check(receiver)
    _, mail = receiver.mails[0]
    assert mail["Subject"].strip() == "[dispatchlog] Health-information forms: 1 in doubt; somebody has to decide."
    text = mail.get_content()
    assert "Since 20" in text
    assert "https://desk.example.org/alerts" in text
    assert "lovelace" not in mail.as_string()
    assert mail["Auto-Submitted"] == "auto-generated"


def test_the_webhook_is_signed(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    check(receiver)
    ((headers, body),) = receiver.posts
    signed = hmac.new(SECRET.encode(), f"{headers['x-dispatchlog-timestamp']}.".encode() + body, hashlib.sha256)
    assert headers["x-dispatchlog-signature"] == f"sha256={signed.hexdigest()}"
    document = json.loads(body)
    assert (document["kind"], document["subject"], document["overAt"]) == ("in_doubt", "health_information", None)
    assert document["id"] == headers["x-dispatchlog-id"]


def test_many_processes_that_look_and_tell_at_once_do_it_once(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    barrier = threading.Barrier(6, timeout=120)

    def process(number: int) -> bool:
        barrier.wait()
        done = look_if_due(receiver.settings, registry.lanes(), {}, who=f"process {number}", up_seconds=LONG_UP)
        send_due(receiver.settings, who=f"process {number}")
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(process, range(6))) == 1
    send_due(receiver.settings, who="afterwards")
    assert len(receiver.mails) == 2
    assert len(receiver.posts) == 1


def test_a_receiver_that_is_away_is_told_later_and_in_order(receiver: Receiver) -> None:
    receiver.answers += [503, 500]
    with connected():
        row = form_in("IN_DOUBT")
    check(receiver)
    assert receiver.posts == []
    with transaction("test"):
        execute("UPDATE health_information_dispatch_logs SET in_doubt = false WHERE id = %s", (row["id"],))
    check(receiver)
    assert receiver.posts == []
    for _ in range(3):
        hurry()
        send_due(receiver.settings, who="test")
    assert [json.loads(body)["phase"] for _, body in receiver.posts] == ["started", "over"]


def hurry() -> None:
    with transaction("test"):
        execute("UPDATE dispatch_alert_notices SET next_try_at = now() - interval '1 s' WHERE sent_at IS NULL")


def test_a_receiver_that_never_answers_is_given_up(receiver: Receiver) -> None:
    receiver.answers += [500] * 50
    with connected():
        form_in("IN_DOUBT")
    check(receiver)
    for _ in range(alert_notices.MOST_TRIES + 2):
        hurry()
        send_due(receiver.settings, who="test")
    with connected():
        (notice,) = fetch_dicts("SELECT * FROM dispatch_alert_notices WHERE channel = 'webhook'")
    assert (notice["tries"], notice["last_error"]) == (alert_notices.MOST_TRIES, "HTTP_500")
    assert notice["given_up_at"] is not None


def test_the_webhook_goes_to_no_network_that_is_not_named(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    check(receiver, environment="production")
    with connected():
        (notice,) = fetch_dicts("SELECT * FROM dispatch_alert_notices WHERE channel = 'webhook'")
    assert (notice["sent_at"], notice["last_error"], receiver.posts) == (None, "DESTINATION_REFUSED", [])
    hurry()
    send_due(receiver.settings.model_copy(update={"private_networks": "127.0.0.1/32"}), who="test")
    assert len(receiver.posts) == 1


def test_a_login_in_the_webhooks_address_goes_in_its_header(receiver: Receiver) -> None:
    address = receiver.settings.alert_webhook_url.replace("http://", "http://desk:p%40ss@")
    with connected():
        form_in("IN_DOUBT")
    check(receiver, alert_webhook_url=f"{address}?team=desk")
    ((headers, _),) = receiver.posts
    assert headers["authorization"] == "Basic ZGVzazpwQHNz"
    assert "p%40ss" not in str(headers)


def test_an_address_that_the_mail_server_refuses_stops_no_other(receiver: Receiver) -> None:
    receiver.replies += ["550 no such person"]
    with connected():
        form_in("IN_DOUBT")
    check(receiver)
    assert len(receiver.mails) == 1
    assert len(receiver.posts) == 1


def test_what_comes_back_before_it_settled_is_the_same_alert(receiver: Receiver) -> None:
    with connected():
        row = form_in("IN_DOUBT")
    check(receiver, alert_settle_seconds=600)
    for doubt in (False, True, False):
        with transaction("test"):
            execute("UPDATE health_information_dispatch_logs SET in_doubt = %s WHERE id = %s", (doubt, row["id"]))
        check(receiver, alert_settle_seconds=600)
    assert listed() == [("in_doubt", "health_information", False)]
    assert len(receiver.posts) == 1


def test_a_restart_neither_repeats_nor_forgets(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    first = AlertWatch(receiver.settings, registry.lanes, kind="first")
    first.round()
    with transaction("test"):
        execute("UPDATE dispatch_alert_checks SET checked_at = '2000-01-01'")
    second = AlertWatch(receiver.settings, registry.lanes, kind="second")
    second.round()
    assert len(receiver.posts) == 1
    assert listed() == [("in_doubt", "health_information", False)]


def test_a_watch_looks_by_itself(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    watch = AlertWatch(receiver.settings.model_copy(update={"alert_check_seconds": 1}), registry.lanes, kind="test")
    watch.start()
    until(lambda: receiver.posts, what="it looked and told")
    watch.stop()


# --- each kind


def seen(receiver: Receiver, *, up_seconds: float = LONG_UP, state: str = "closed", **changes: Any) -> set[str]:
    known = receiver.settings.model_copy(update=changes)
    with connected():
        found = look(known, registry.lanes(), {"smtp": BreakerState(state)}, up_seconds=up_seconds)
    return {condition.kind for condition in found.conditions}


def test_a_queue_that_grows_old_is_one(receiver: Receiver) -> None:
    with connected():
        form_in("PENDING")
        make_due("health_information")
    assert seen(receiver, alert_queue_age_seconds=30, sweep_seconds=10) == {alerts.QUEUE_AGE}
    assert seen(receiver, alert_queue_age_seconds=30, sweep_seconds=600) == set()
    assert seen(receiver, alert_queue_age_seconds=0, sweep_seconds=10) == set()


def test_a_lane_that_a_person_paused_is_meant_to_wait(receiver: Receiver) -> None:
    with connected():
        form_in("PENDING")
        make_due("health_information")
    holds.hold(holds.Target("lane", "health_information"), actor="bo@example.org", reason="why not")
    assert seen(receiver, alert_queue_age_seconds=30, sweep_seconds=10) == set()


def test_many_failures_are_one_and_few_are_none(receiver: Receiver) -> None:
    with connected():
        for number in range(3):
            form_in("FAILED", number=f"VO-{number}")
        form_in("SENT", number="VO-9")
    assert seen(receiver, alert_failure_least=4, alert_failure_percent=75) == {alerts.FAILURES}
    assert seen(receiver, alert_failure_least=4, alert_failure_percent=76) == set()
    assert seen(receiver, alert_failure_least=5) == set()
    assert seen(receiver, alert_failure_least=4, alert_failure_percent=0) == set()


def test_doubts_are_one_from_so_many_on(receiver: Receiver) -> None:
    with connected():
        form_in("IN_DOUBT")
    assert seen(receiver, alert_in_doubt=1) == {alerts.DOUBTS}
    assert seen(receiver, alert_in_doubt=2) == set()
    assert seen(receiver, alert_in_doubt=0) == set()


@pytest.mark.parametrize(("alive", "kind"), [(worker_alive, alerts.NO_WORKER), (scheduler_alive, alerts.NO_SCHEDULER)])
def test_who_was_there_and_is_silent_is_missed(receiver: Receiver, alive: Callable[[], None], kind: str) -> None:
    assert seen(receiver) == set()
    with connected():
        alive()
    assert seen(receiver) == set()
    with transaction("test"):
        execute("UPDATE dispatch_workers SET last_seen_at = now() - interval '61 s'")
    assert seen(receiver) == {kind}
    assert seen(receiver, alert_missing_seconds=120) == set()
    assert seen(receiver, alert_missing_seconds=0) == set()


def silent_for(receiver: Receiver, worker_id: int, interval: str) -> None:
    """A worker that began a day ago and was last heard from so long ago."""
    with owner(receiver.settings.database_url) as cursor:
        cursor.execute(
            "UPDATE dispatch_workers SET started_at = now() - interval '1 day', last_seen_at = now() - %s::interval"
            " WHERE id = %s",
            (interval, worker_id),
        )


def every_lane_but(name: str) -> list[str]:
    return [lane.name for lane in registry.lanes() if lane.name != name]


def test_a_lane_without_a_worker_is_missed_while_other_lanes_have_one(receiver: Receiver) -> None:
    with connected():
        worker_alive(1, lanes=every_lane_but("health_information"))
        worker_alive(2, lanes=["health_information"])
    assert seen(receiver) == set()
    silent_for(receiver, 2, "59 s")
    check(receiver)
    assert listed() == []
    silent_for(receiver, 2, "65 s")
    check(receiver)
    assert listed() == [("no_worker", "health_information", False)]
    with connected():
        worker_alive(3)
    check(receiver)
    assert listed() == [("no_worker", "health_information", True)]


def test_a_lane_that_never_had_a_worker_is_missed_from_the_first_worker_on(receiver: Receiver) -> None:
    with connected():
        worker_alive(1, lanes=every_lane_but("health_information"))
    assert seen(receiver) == set()
    silent_for(receiver, 1, "1 s")
    with connected():
        found = look(receiver.settings, registry.lanes(), {}, up_seconds=LONG_UP).conditions
    assert [(each.kind, each.subject) for each in found] == [(alerts.NO_WORKER, "health_information")]
    assert found[0].summary == "No worker is running for Health-information forms, so nothing of it is being sent."
    assert seen(receiver, alert_missing_seconds=0) == set()


def test_when_the_last_worker_dies_too_a_lane_that_was_missed_is_missed_still(receiver: Receiver) -> None:
    with connected():
        worker_alive(1, lanes=every_lane_but("health_information"))
        worker_alive(2, lanes=["health_information"])
    silent_for(receiver, 2, "1 h")
    silent_for(receiver, 1, "5 min")
    with connected():
        found = look(receiver.settings, registry.lanes(), {}, up_seconds=LONG_UP).conditions
    assert [(each.kind, each.subject) for each in found] == [
        (alerts.NO_WORKER, ""),
        (alerts.NO_WORKER, "health_information"),
    ]


def test_a_process_that_has_just_started_misses_nobody_and_ends_nothing(receiver: Receiver) -> None:
    with connected():
        worker_alive()
    with transaction("test"):
        execute("UPDATE dispatch_workers SET last_seen_at = now() - interval '1 h'")
    check(receiver, up_seconds=5)
    assert listed() == []
    check(receiver)
    assert listed() == [("no_worker", "", False)]
    check(receiver, up_seconds=5)
    assert listed() == [("no_worker", "", False)]


def test_a_breaker_that_is_not_closed_is_one_and_an_unknown_one_changes_nothing(receiver: Receiver) -> None:
    check(receiver, state="unknown")
    assert listed() == []
    check(receiver, state="open")
    check(receiver, state="probing")
    check(receiver, state="unknown")
    assert listed() == [("breaker_open", "smtp", False)]
    check(receiver, state="closed")
    assert listed() == [("breaker_open", "smtp", True)]
    assert seen(receiver, state="open", alert_breaker=False) == set()


@pytest.mark.parametrize(
    "wrong",
    [{"DISPATCHLOG_ALERT_MAIL_TO": "somebody"}, {"DISPATCHLOG_ALERT_WEBHOOK_URL": "file:///etc/passwd"}],
    ids=["address", "webhook"],
)
def test_a_mistyped_receiver_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_the_application_can_delete_no_alert(receiver: Receiver, settings_env: Settings) -> None:
    with connected():
        form_in("IN_DOUBT")
    check(receiver)
    role = f"-c role={settings_env.application_role}"
    with (
        closing(psycopg2.connect(settings_env.database_url, options=role)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("DELETE FROM dispatch_alerts")
