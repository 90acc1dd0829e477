"""The HL7 lane's eight test cases, by a real worker process of that lane alone and an exchange on real sockets."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import pytest
import redis

from dispatchlog import alerts
from dispatchlog.broker import get_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.wakeup import NUDGES
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_script import Answer, Rule
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import retrying, schools
from dispatchlog.systems.hl7.endpoints import routes
from dispatchlog.systems.hl7.lane import hl7_lane
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.conftest import cheap_passwords, dash
from tests.dashboard.reported_visits import report
from tests.gateways.hl7_certificates import Authority
from tests.ports import free_port
from tests.scenarios.processes import running, wait_for
from tests.systems.hl7.visits import STUDENT, VISIT

__all__ = ["cheap_passwords", "dash"]  # fixtures


CODE, GATEWAY = "SCH-01", "hl7:SCH-01"
# So that a case takes seconds; what is not said here is as it is by default.
QUICK = {
    "enabled": True,
    "host": "127.0.0.1",
    "tls": False,
    "rate_per_second": 50,
    "first_retry_seconds": 0.2,
    "deadline_seconds": 30,
    "connect_seconds": 10,
}


_connecting: dict[int, set[int]] = {}


def _note_connection(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and threading.get_ident() in _connecting and isinstance(arguments[1], tuple):
        _connecting[threading.get_ident()].add(arguments[1][1])


sys.addaudithook(_note_connection)


@contextmanager
def connecting() -> Iterator[set[int]]:
    """The ports to which this thread connects meanwhile; PostgreSQL's own library is not seen."""
    ports = _connecting[threading.get_ident()] = set()
    try:
        yield ports
    finally:
        del _connecting[threading.get_ident()]


@dataclass
class Clinic:
    """A school, its exchange, which may be out of reach, and the log of its workers."""

    settings: Settings
    log: Path
    office: Dashboard
    token: dict[str, str]
    exchange: Exchange = field(default_factory=Exchange)
    port: int = field(default_factory=free_port)
    side: MllpSide | None = None

    def reach(self) -> None:
        """The network is there."""
        self.side = MllpSide(self.exchange, port=self.port)

    def lose(self) -> None:
        """The network is gone."""
        if self.side is not None:
            self.side.close()
        self.side = None

    def change(self, **changes: Any) -> None:
        schools.change_endpoint(CODE, changes, actor="test")

    def worker(self) -> Any:
        """`dispatchlog worker --lane hl7`."""
        env = {"DATABASE_URL": self.settings.database_url, "REDIS_URL": self.settings.redis_url}
        command = ("-m", "dispatchlog.cli", "worker", "--lane", "hl7", "--processes", "1", "--threads", "2")
        return running(*command, env=env, log=self.log)

    def assess(self, student: str = "S-1") -> str:
        """Create an assessment, as the clinic's system does; the control id of its message comes back."""
        document = report(student={**report()["student"], "id": student})
        with connecting() as ports:
            answer = self.office.app.test_client().post("/api/visits", json=document, headers=self.token)
        assert ports <= {urlsplit(self.settings.redis_url).port}, "creating an assessment waits for no exchange"
        assert answer.status_code == 201
        (message,) = answer.get_json()["messages"]
        assert message["status"] == "PENDING"
        return str(message["controlId"])

    def rows(self) -> list[dict[str, Any]]:
        with connected():
            return fetch_dicts("SELECT * FROM hl7_messages ORDER BY seq")

    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows()]

    def settled(self) -> bool:
        return not {"PENDING", "QUEUED"} & set(self.statuses())

    def tried(self, times: int) -> bool:
        return all(row["attempts"] >= times for row in self.rows())

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event in the workers' log."""
        lines = (line.partition(" | ")[2] for line in self.log.read_text().splitlines())
        return [told for line in lines if line.startswith("{") for told in [json.loads(line)] if told["event"] == event]


@pytest.fixture
def clinic(dash: Dashboard, settings_env: Settings, tmp_path: Path) -> Iterator[Clinic]:
    token = {"Authorization": f"Bearer {create_token('clinic', ['visits:write'], 'test')}"}
    one = Clinic(settings_env, tmp_path / "log", dash, token)
    schools.add_school(CODE, "First school", actor="test")
    one.change(**QUICK, port=one.port)
    one.reach()
    yield one
    one.lose()
    one.exchange.close()


@contextmanager
def stopped_in_time(worker: subprocess.Popen[bytes], number: signal.Signals) -> Iterator[None]:
    """Ask the worker to stop, and see that it does so by itself."""
    worker.send_signal(number)
    yield
    assert worker.wait(timeout=120) == 0


def test_case_1_normal_operation(clinic: Clinic) -> None:
    with clinic.worker():
        control_id = clinic.assess()
        wait_for(clinic.settled)
    (row,) = clinic.rows()
    assert (row["status"], row["attempts"]) == ("SENT", 0)
    assert row["created_at"] < row["sent_at"]
    assert [received.control_id for received in clinic.exchange.received] == [control_id]
    (begun, ended) = (*clinic.said("BATCH_BEGUN"), *clinic.said("BATCH_ENDED"))
    assert (begun["lane"], begun["gateway"], begun["count"]) == ("hl7", "hl7:SCH-01", 1)
    assert (ended["count"], ended["sent"], ended["given_back"]) == (1, 1, 0)
    assert [line["dispatch_id"] for line in clinic.said("DISPATCH_SENT")] == [str(row["id"])]


def test_case_2_network_failure(clinic: Clinic) -> None:
    clinic.lose()
    with clinic.worker():
        clinic.assess()
        wait_for(lambda: clinic.tried(1))
        (row,) = clinic.rows()
        assert row["status"] in ("PENDING", "QUEUED")
        clinic.reach()
        wait_for(clinic.settled)
    assert clinic.statuses() == ["SENT"]
    assert clinic.exchange.counts() == {"received": 1, "effects": 1, "duplicates": 0}


def test_case_3_retry_logic(clinic: Clinic) -> None:
    clinic.change(max_retries=3)
    lost, busy = Answer("close", accept=False), Answer(code="AE", error="207", accept=False)
    never = Rule(Answer("close", accept=False), patient="S-2")
    clinic.exchange.script.set([lost, lost, busy], rules=[never])
    clinic.assess("S-1")
    clinic.assess("S-2")
    with clinic.worker():
        wait_for(clinic.settled)
    sent, failed = clinic.rows()
    assert (sent["status"], sent["attempts"]) == ("SENT", 3)
    assert (failed["status"], failed["attempts"]) == ("FAILED", 4)
    assert failed["last_error_code"]
    assert failed["last_error"]
    with connected():
        attempts = fetch_dicts(
            "SELECT outcome FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id", (sent["id"],)
        )
    assert [attempt["outcome"] for attempt in attempts] == ["UNKNOWN", "UNKNOWN", "TRANSIENT", "ACCEPTED"]
    again = [line for line in clinic.said("DISPATCH_AGAIN") if line["dispatch_id"] == str(sent["id"])]
    assert [line["attempts"] for line in again] == [1, 2, 3]
    assert all(line["code"] and line["next_attempt_in_seconds"] > 0 for line in again)
    (given_up,) = clinic.said("DISPATCH_FAILED")
    assert (given_up["dispatch_id"], given_up["attempts"]) == (str(failed["id"]), 4)
    told = clinic.log.read_text()
    assert not any(text in told for text in (STUDENT.family_name, STUDENT.given_name, "PID|", VISIT.number))


def test_case_4_high_volume(clinic: Clinic) -> None:
    per_second = 10
    clinic.change(rate_per_second=per_second)
    with clinic.worker():
        created = [clinic.assess(f"S-{number % 7}") for number in range(20)]
        wait_for(clinic.settled)
    assert clinic.statuses() == ["SENT"] * 20
    received = list(clinic.exchange.received)
    assert [each.control_id for each in received] == created
    took = (received[-1].at - received[0].at).total_seconds()
    assert took >= 0.9 * (len(created) - 1) / per_second, "faster than the endpoint's pace"


def test_case_5_max_retries_with_an_invalid_api_key(clinic: Clinic) -> None:
    side = HttpSide(clinic.exchange, api_key="the right one")
    url = f"http://127.0.0.1:{side.port}/hl7"
    # The retries take longer than the second for which a worker may know an endpoint as it was.
    quick = {"max_retries": 2, "first_retry_seconds": 0.5}
    clinic.change(transport="HTTPS", url=url, api_key="the wrong one", **quick)
    try:
        clinic.assess()
        with clinic.worker():
            wait_for(clinic.settled)
            (row,) = clinic.rows()
            assert (row["status"], row["attempts"]) == ("FAILED", 3)
            assert row["last_error_code"] == "ENDPOINT_REFUSED_CREDENTIALS"
            assert "API key" in row["last_error"]
            assert clinic.exchange.counts()["received"] == 0
            clinic.change(api_key="the right one")
            retrying.retry_all("FAILED", actor="test")
            wait_for(lambda: clinic.statuses() == ["SENT"])
        assert "the right one" not in clinic.log.read_text()
    finally:
        side.close()


def test_an_https_exchange_that_answers_401_fails_each_message_after_its_last_retry_and_calls_for_somebody(
    clinic: Clinic, tmp_path: Path
) -> None:
    authority = Authority("exchange")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign("127.0.0.1").write(tmp_path, "exchange"))
    with closing(HttpSide(clinic.exchange, api_key="the right one", tls=tls)) as side:
        clinic.change(
            transport="HTTPS",
            url=f"https://127.0.0.1:{side.port}/hl7",
            ca_pem=authority.certificate,
            api_key="the wrong one",
            first_retry_seconds=0.05,
        )
        for student in range(4):
            clinic.assess(f"S-{student}")
        with clinic.worker():
            wait_for(clinic.settled, seconds=60)
    tries = 1 + 5
    for row in clinic.rows():
        assert (row["status"], row["attempts"]) == ("FAILED", tries)
        assert row["last_error_code"] == alerts.REFUSED_CREDENTIALS
        assert "does not accept our credentials (HTTP 401)" in row["last_error"]
    assert clinic.exchange.counts()["received"] == 0
    breakers = Breaker(clinic.settings.effective_redis_url).states([GATEWAY])
    assert breakers[GATEWAY].state == "closed", "what answers is not held back from the end of its retries"
    with connected():
        told = fetch_dicts("SELECT outcome, evidence->>'status' AS status FROM dispatch_attempts")
        found = alerts.look(clinic.settings, [hl7_lane()], breakers, up_seconds=0)
    assert told == [{"outcome": "TRANSIENT", "status": "401"}] * 4 * tries
    assert (alerts.CREDENTIALS, GATEWAY) in {(one.kind, one.subject) for one in found.conditions}
    assert not [one for one in found.conditions if one.kind == alerts.BREAKER]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_case_6_processor_restart(clinic: Clinic, number: signal.Signals) -> None:
    clinic.change(rate_per_second=None)
    clinic.exchange.script.set(standing=Answer(delay_seconds=1.0))
    created = [clinic.assess(f"S-{each}") for each in range(10)]
    with clinic.worker() as worker:
        wait_for(lambda: clinic.exchange.taken >= 1)
        with stopped_in_time(worker, number):
            pass
    statuses = clinic.statuses()
    begun = clinic.exchange.counts()["received"]
    assert statuses == ["SENT"] * begun + ["PENDING"] * (10 - begun), "what was not begun is given back"
    assert 0 < begun < 10
    assert [row["rescues"] for row in clinic.rows()] == [0] * 10, "nobody had to take over"
    created.append(clinic.assess("S-late"))
    clinic.exchange.script.set()
    with clinic.worker():
        wait_for(clinic.settled)
    assert clinic.statuses() == ["SENT"] * 11
    assert [each.control_id for each in clinic.exchange.received] == created


def test_case_7_auto_retry_intervals(clinic: Clinic) -> None:
    clinic.change(max_retries=20)
    clinic.lose()
    clinic.assess()
    (row,) = clinic.rows()
    assert (row["status"], row["attempts"]) == ("PENDING", 0)
    with clinic.worker():
        wait_for(lambda: clinic.tried(4))
        clinic.reach()
        wait_for(clinic.settled)
    (row,) = clinic.rows()
    assert row["status"] == "SENT"
    waited = [line["next_attempt_in_seconds"] for line in clinic.said("DISPATCH_AGAIN")]
    assert len(waited) == row["attempts"] >= 4
    for tries, seconds in enumerate(waited):
        assert seconds == pytest.approx(0.2 * 2**tries, rel=0.21, abs=0.01)
    clinic.change(first_retry_seconds=30, max_retries=5)
    policy = routes()[CODE].retry
    assert policy.max_attempts == 6, "the first try and five more"
    for tries, seconds in enumerate([30, 60, 120, 240, 480], start=1):
        assert policy.delay_seconds(tries) == pytest.approx(seconds, rel=0.2)


def test_case_8_manual_retry_from_the_page(clinic: Clinic) -> None:
    clinic.change(first_retry_seconds=600)
    clinic.exchange.script.set(rules=[Rule(Answer(code="AE", error="101", accept=False), patient="S-refused")])
    with clinic.worker():
        refused = clinic.assess("S-refused")
        wait_for(clinic.settled)
        clinic.lose()
        waiting = [clinic.assess(f"S-{number}") for number in range(4)]
        wait_for(lambda: clinic.tried(1))
        wait_for(lambda: clinic.statuses() == ["FAILED"] + ["PENDING"] * 4)
        admin = clinic.office.as_("admin")
        assert listed(admin, "") == {refused, *waiting}
        assert listed(admin, "?status=PENDING") == set(waiting)
        assert listed(admin, f"?status=FAILED&school={CODE}") == {refused}
        assert listed(admin, "?to=2020-01-01") == set()
        assert clinic.office.as_("support").get("/admin/hl7").status_code == 403
        clinic.reach()
        clinic.exchange.script.set()
        ids = [row["id"] for row in clinic.rows()]
        assert admin.post("/admin/hl7/retry", pick=[ids[1], ids[2]]).status_code == 303
        wait_for(lambda: clinic.statuses() == ["FAILED", "SENT", "SENT", "PENDING", "PENDING"])
        assert admin.post(f"/admin/hl7/{ids[3]}/retry").status_code == 303
        wait_for(lambda: clinic.statuses() == ["FAILED", "SENT", "SENT", "SENT", "PENDING"])
        assert admin.post("/admin/hl7/retry-all", status="PENDING").status_code == 303
        wait_for(lambda: clinic.statuses() == ["FAILED"] + ["SENT"] * 4)
        assert admin.post("/admin/hl7/retry-all", status="FAILED").status_code == 303
        wait_for(lambda: clinic.statuses() == ["SENT"] * 5)
    assert [row["attempts"] - row["attempts_forgiven"] for row in clinic.rows()] == [0] * 5
    with connected():
        acts = fetch_dicts("SELECT actor, dispatch_id FROM operator_actions WHERE action = 'retry' ORDER BY id")
    assert {(act["actor"], act["dispatch_id"]) for act in acts} == {("admin@example.org", each) for each in ids}


def listed(visitor: Visitor, query: str) -> set[str]:
    """The control ids on the page."""
    page = visitor.get(f"/admin/hl7{query}")
    assert page.status_code == 200
    return set(re.findall(r"Select ([^<]+)</span>", page.text))


def test_a_worker_of_another_lane_alone_takes_no_message_up_and_no_wake_up_away(clinic: Clinic) -> None:
    clinic.assess()
    forged = dramatiq.Message(queue_name="dispatch", actor_name="drain", args=("hl7",), kwargs={}, options={})
    get_broker().enqueue(forged)
    env = {"DATABASE_URL": clinic.settings.database_url, "REDIS_URL": clinic.settings.redis_url}
    command = ("-m", "dispatchlog.cli", "worker", "--lane", "kit_registration", "--processes", "1")
    with redis.Redis.from_url(clinic.settings.redis_url) as client:
        client.persist(NUDGES)
        with running(*command, env=env, log=clinic.log):
            wait_for(lambda: client.llen("dramatiq:dispatch") == 0)
        assert [row["claims"] for row in clinic.rows()] == [0]
        assert (client.llen("dramatiq:hl7"), client.llen(NUDGES)) == (1, 1)
