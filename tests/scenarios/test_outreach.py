"""Messages to patients on real processes: worker, clock, mailbox, and a stand-in for the providers over real sockets.

A whole reminder until the patient's yes, what a no does, what is urgent at night, and a link that ends.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest

from dashboard import create_app, live_hub
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import connected, database, fetch_all, fetch_dicts
from dispatchlog.gateways.outreach_sandbox import ACCOUNT_SID, Options, Sandbox
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.preferences import change_defaults
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from tests.alteration import altered
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import served
from tests.engine.lane import owner
from tests.ports import free_port
from tests.scenarios.processes import mailbox, running, wait_for

CLINIC, DOCTOR = str(uuid4()), str(uuid4())
# One for every hour of the day and without summer time, for where no law is known the strictest hours are noon to five.
ZONES = (
    *(
        "Pacific/Pago_Pago",
        "Pacific/Honolulu",
        "Pacific/Gambier",
        "Pacific/Pitcairn",
        "America/Phoenix",
        "America/Regina",
    ),
    *(
        "America/Bogota",
        "America/Caracas",
        "America/Sao_Paulo",
        "America/Noronha",
        "Atlantic/Cape_Verde",
        "Africa/Abidjan",
    ),
    *("Africa/Lagos", "Africa/Johannesburg", "Asia/Riyadh", "Asia/Dubai", "Asia/Karachi", "Asia/Dhaka", "Asia/Bangkok"),
    *("Asia/Singapore", "Asia/Tokyo", "Australia/Brisbane", "Pacific/Noumea", "Pacific/Tarawa"),
)
SECRET = "a secret of this test alone"


def zone_at(hour: int) -> str:
    """One of the zones in which it is nearest to this hour now."""

    def apart(zone: str) -> float:
        local = datetime.now(ZoneInfo(zone))
        hours = abs(local.hour + local.minute / 60 - hour)
        return min(hours, 24 - hours)

    return min(ZONES, key=apart)


@dataclass
class Clinic:
    """Everything that runs, as a core platform sees it."""

    url: str
    token: str
    sandbox: Sandbox
    mail: Path
    log: Path
    stack: ExitStack
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 200)))

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=60, **request)

    def tell(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        document = {"event_id": str(uuid4()), "kind": kind, "occurred_at": datetime.now(UTC).isoformat(), "data": data}
        answer = self.call("POST", "/comm/events", json=document)
        assert answer.status_code == 200, answer.text
        return answer.json()["effect"]  # type: ignore[no-any-return]

    def new_patient(self, **facts: Any) -> tuple[str, str]:
        """Id and number of somebody for whom it is the middle of the day."""
        patient_id, number = str(uuid4()), f"+12025550{next(self.numbers)}"
        given = {"id": patient_id, "name": "Sample Patient", "organization_id": CLINIC, "provider_id": DOCTOR}
        given |= {"phone": number, "timezone": zone_at(13), "country": "US", "language": "en"}
        self.tell("patient.updated", {**given, **facts})
        return patient_id, number

    def schedule(self, patient_id: str, **wanted: Any) -> dict[str, Any]:
        answer = self.call("POST", "/comm/schedule", json={"patient_id": patient_id, "variables": {}, **wanted})
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call("GET", f"/comm/jobs/{job_id}").json()["job"]  # type: ignore[no-any-return]

    def texts_to(self, number: str) -> list[str]:
        return [text.text for text in self.sandbox.traffic.messages() if text.to == number and not text.inbound]

    def start_worker(self) -> psutil.Process:
        started = self.stack.enter_context(running("-m", "dispatchlog.cli", "worker", env={}, log=self.log))
        return psutil.Process(started.pid)


@pytest.fixture
def clinic(settings_env: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clinic]:
    forget_process_state()
    with ExitStack() as stack:
        log = tmp_path / "log"
        smtp = stack.enter_context(mailbox(tmp_path / "box", env={}, log=log))
        given = {
            "SMTP_URL": f"smtp://127.0.0.1:{smtp}?tls=none",
            "OUTREACH_SMS": "twilio",
            "TWILIO_FROM": "+12025550199",
        }
        given |= {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": SECRET, "OUTREACH_FALLBACK_SECONDS": "5"}
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        sandbox = Sandbox(Options(webhook_url=url, twilio_auth_token=SECRET))
        stack.callback(sandbox.close)
        given |= {"TWILIO_URL": f"http://127.0.0.1:{sandbox.port}/twilio", "PUBLIC_URL": url}
        for name, value in given.items():
            monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
        _forget()
        stack.enter_context(served(create_app(get_settings()), port=port))
        stack.callback(live_hub.close_all)
        token = create_token("core", list(SCOPES), "tests")
        ensure_standard_templates()
        stack.enter_context(running("-m", "dispatchlog.cli", "scheduler", env={}, log=log))
        here = Clinic(url, token, sandbox, tmp_path / "box", log, stack)
        here.tell("organization.updated", {"id": CLINIC, "name": "Sample Clinic", "phone": "+12025550100"})
        here.tell("provider.updated", {"id": DOCTOR, "name": "Dr Sample", "organization_id": CLINIC})
        yield here
    _forget()
    database.close_all()


def _forget() -> None:
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()


def jobs() -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM comm_jobs ORDER BY seq")


def test_from_the_appointment_to_the_patients_yes(clinic: Clinic) -> None:
    """The worker is killed while texts leave; each leaves once, its news come back, and an answer confirms."""
    clinic.sandbox.script.load({"replies": [{"answer": "Yes please", "asks": "confirm", "after_seconds": 0.2}]})
    worker = clinic.start_worker()
    patients = [clinic.new_patient() for _ in range(12)]
    starts_at = (datetime.now(UTC) + timedelta(days=4)).replace(microsecond=0)
    for patient_id, _ in patients:
        booked = {
            "id": str(uuid4()),
            "patient_id": patient_id,
            "provider_id": DOCTOR,
            "starts_at": starts_at.isoformat(),
        }
        clinic.tell("appointment.scheduled", booked)
    wait_for(lambda: len([text for text in clinic.sandbox.traffic.messages() if not text.inbound]) >= 3)
    for child in [*worker.children(recursive=True), worker]:
        child.send_signal(signal.SIGKILL)
    clinic.start_worker()

    def confirmed() -> bool:
        with connected():
            return fetch_all("SELECT count(*) FROM comm_appointments WHERE status = 'confirmed'")[0][0] == len(patients)

    def settled() -> bool:
        return all(row["status"] == "SENT" or row["in_doubt"] for row in jobs() if row["purpose"] == "appt_confirm")

    wait_for(settled)
    doubtful = [row for row in jobs() if row["in_doubt"]]
    assert not doubtful, "the provider was asked, or told of each"
    wait_for(confirmed)
    sent = Counter(text.to for text in clinic.sandbox.traffic.messages() if not text.inbound)
    assert sent == {number: 1 for _, number in patients}
    words = {clinic.job(str(row["id"]))["status"] for row in jobs() if row["purpose"] == "appt_confirm"}
    assert words == {"replied"}
    reminders = [row for row in jobs() if row["purpose"] == "appt_reminder"]
    assert {row["status"] for row in reminders} == {"PENDING"}
    assert len(reminders) == len(patients)
    with connected():
        actions = dict(fetch_all("SELECT action, count(*) FROM comm_audit_log GROUP BY action"))
    assert actions["receive"] == len(patients)


def test_a_no_goes_before_everybodys_defaults(clinic: Clinic) -> None:
    """An organisation's default, a provider's against it, the patient's STOP, and a mail that ends mails by one click."""
    clinic.start_worker()
    staff = Asker("admin@example.org")
    patient_id, number = clinic.new_patient(email="sample.patient@example.org")
    change_defaults("organization", UUID(CLINIC), {"allow_sms": False}, asker=staff)
    first = clinic.schedule(patient_id, purpose="lab_ready")
    assert first["channel"] == "email"
    considered = {
        each["channel"]: each["code"] for each in clinic.job(first["job_id"])["decision"]["channel"]["considered"]
    }
    assert considered["sms"] == "CHANNEL_OFF"
    change_defaults("provider", UUID(DOCTOR), {"allow_sms": True}, asker=staff)
    clinic.sandbox.script.load({"replies": [{"to": number, "answer": "stop", "after_seconds": 0.1}]})
    second = clinic.schedule(patient_id, purpose="lab_ready")
    assert second["channel"] == "sms"
    wait_for(lambda: bool(fetch_stops()))
    third = clinic.schedule(patient_id, purpose="lab_ready")
    assert third["channel"] == "email"
    wait_for(lambda: clinic.job(third["job_id"])["status"] == "sent")
    assert len([text for text in clinic.texts_to(number) if "results" in text]) == 1
    mail = newest_mail(clinic.mail)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.fullmatch(r"<(http.+/one-click)>", mail["List-Unsubscribe"])
    assert link is not None
    assert httpx.get(link[1]).status_code == 200, "looking at it changes nothing"
    assert len(fetch_stops()) == 1
    clicked = httpx.post(link[1], data={"List-Unsubscribe": "One-Click"})
    assert (clicked.status_code, clicked.headers.get("set-cookie")) == (200, None)
    refused = clinic.call("POST", "/comm/schedule", json={"patient_id": patient_id, "purpose": "lab_ready"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "NO_CHANNEL")
    considered = {
        each["channel"]: each["code"] for each in refused.json()["present"]["decision"]["channel"]["considered"]
    }
    assert (considered["sms"], considered["email"]) == ("STOPPED", "STOPPED")
    kept = clinic.call("GET", f"/patients/{patient_id}/comm-consents").json()["consents"]
    assert {(each["channel"], each["given"]) for each in kept} >= {("sms", False), ("email", False)}


def test_what_is_urgent_leaves_at_night_and_the_rest_waits_for_the_morning(clinic: Clinic) -> None:
    clinic.start_worker()
    zone = zone_at(2)
    patient_id, number = clinic.new_patient(timezone=zone)
    usual = clinic.schedule(patient_id, purpose="lab_ready")
    urgent = clinic.schedule(patient_id, purpose="urgent", is_urgent=True)
    wait_for(lambda: clinic.job(urgent["job_id"])["status"] in ("sent", "delivered"))
    assert len(clinic.texts_to(number)) == 1
    waiting = clinic.job(usual["job_id"])
    assert (waiting["status"], waiting["retry_count"]) == ("queued", 0)
    due = datetime.fromisoformat(usual["scheduled_at"]).astimezone(ZoneInfo(zone))
    assert 8 <= due.hour < 21
    with connected():
        [(details,)] = fetch_all(
            "SELECT details FROM comm_audit_log WHERE action = 'send' AND details ->> 'job' = %s", (urgent["job_id"],)
        )
    assert details["urgent"] is True


def test_what_is_about_health_stands_behind_a_link_that_ends(clinic: Clinic, database_url: str) -> None:
    clinic.start_worker()
    patient_id, number = clinic.new_patient()
    text = {
        "name": "Results",
        "purpose": "lab_ready",
        "channel": "sms",
        "body": "{{ organization_name }}: the result of {{ test_name }} is here. {{ opt_out_hint }}",
        "variables": [{"name": "test_name", "is_phi": True, "example": "blood count"}],
        "organization_id": CLINIC,
    }
    made = clinic.call("POST", "/comm/templates", json=text)
    assert made.status_code == 201, made.text
    secret = "HIV viral load"
    job = clinic.schedule(patient_id, purpose="lab_ready", preferred_channel="sms", variables={"test_name": secret})
    wait_for(lambda: clinic.job(job["job_id"])["status"] in ("sent", "delivered"))
    [told] = clinic.texts_to(number)
    assert secret not in told
    link = re.search(r"http\S+/p/[A-Za-z0-9_-]{43}", told)
    assert link is not None, told
    page = httpx.get(link[0])
    assert (page.status_code, secret in page.text) == (200, True)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    address, _, token = link[0].rpartition("/")
    assert httpx.get(f"{address}/{altered(token)}").status_code == 404
    with owner(database_url) as cursor:
        cursor.execute("UPDATE comm_portal_tokens SET expires_at = now() - interval '1 second'")
    ended = httpx.get(link[0])
    assert (ended.status_code, secret in ended.text) == (410, False)
    with connected():
        [(opens,)] = fetch_all("SELECT count(*) FROM comm_audit_log WHERE action = 'access' AND actor = 'patient'")
    assert opens == 1
    kept = b"".join(path.read_bytes() for path in (clinic.log,) if path.exists())
    assert secret.encode() not in kept
    assert number.encode() not in kept


def fetch_stops() -> list[tuple[Any, ...]]:
    with connected():
        return fetch_all("SELECT channel, source FROM comm_stops ORDER BY stopped_at")


def newest_mail(box: Path) -> Any:
    newest = max((box / "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return message_from_bytes(newest.read_bytes())
