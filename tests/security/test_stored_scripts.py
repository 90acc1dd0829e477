"""Item 21: what patients write by SMS, and what schools' systems call people in visits, runs on no page of a real Chromium,
with the policy that would stop most scripts switched off. Tickets have a test of their own.
"""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Browser, Page

from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import hl7_samples, patient_rows
from tests.dashboard.script_payloads import PAYLOADS
from tests.dashboard.test_browser import chromium
from tests.dashboard.test_comm_inbox import hear
from tests.dashboard.test_ticket_scripts import Served, harmless, looking, signed_in
from tests.outreach import builders
from tests.systems.hl7.visits import STUDENT, VISIT

__all__ = ["chromium", "harmless"]  # fixtures

# What fits into a name of HL7.
IMAGE, DRAWING = "<img src=x onerror=window.wicked=1>", "<svg onload=window.wicked=1>"


def posted(page: Page, url: str, path: str, **fields: str) -> None:
    """A form of this page's person."""
    token = page.locator("input[name=csrf_token]").first.get_attribute("value") or ""
    answer = page.context.request.post(f"{url}{path}", form={"csrf_token": token, **fields})
    assert answer.status == 200, (path, answer.status)


def test_item_21_what_patients_write_and_are_called_runs_nowhere(harmless: Served, chromium: Browser) -> None:
    url, _ = harmless
    patient_id = builders.patient(name=PAYLOADS[0], organization_id=builders.organization(name=PAYLOADS[4]))
    job = patient_rows.moved(patient_id, "SENT", Channel.SMS)
    patient_rows.moved(patient_id, "FAILED", Channel.SMS, last_error=IMAGE, last_error_code="HTTP_500")
    appointment = builders.appointment(patient_id, starts_at=patient_rows.NOW)
    patient_rows.moved(patient_id, "SENT", appointment_id=appointment, asks="confirmation")
    hear(*PAYLOADS)
    page = signed_in(chromium, url, "admin")
    look = looking(page, url)
    there = f"/outreach/patients/{patient_id}"
    shown = {
        "inbox": look("/outreach/inbox", [PAYLOADS[4]]),
        "dealt with": look("/outreach/inbox?show=done"),
        "requests": look("/outreach/requests"),
        "failed": look("/outreach/failed"),
        "patients": look("/outreach/patients"),
        "masked": look(there),
        "dispatch": look(f"/dispatches/comm_job/{job}"),
        "audit": look("/audit"),
    }
    page.goto(f"{url}{there}")
    posted(page, url, f"{there}/reveal", reason=f"because {PAYLOADS[30]}")
    shown["unmasked"] = look(there, [PAYLOADS[0]])
    for kind in ("answers", "people", "messages"):
        shown[kind] = look(f"{there}?show={kind}")
    shown["audit afterwards"] = look("/audit")
    assert {name: found for name, found in shown.items() if found} == {}


def test_item_21_names_of_a_visit_run_nowhere(harmless: Served, chromium: Browser) -> None:
    url, _ = harmless
    hl7_samples.add_school(name=PAYLOADS[1])
    student = replace(STUDENT, family_name=IMAGE, given_name=DRAWING, family_name_ar=IMAGE, grade=None)
    rows = [hl7_samples.message(state, visit=replace(VISIT, student=student)) for state in ("FAILED", "PENDING")]
    page = signed_in(chromium, url, "admin")
    look = looking(page, url)
    there = f"/admin/hl7/{rows[0]['id']}"
    shown = {
        "list": look("/admin/hl7", [PAYLOADS[1]]),
        "masked": look(there),
        "waiting": look(f"/admin/hl7/{rows[1]['id']}"),
        "dispatch": look(f"/dispatches/hl7/{rows[0]['id']}"),
        "schools": look("/admin/hl7/endpoints", [PAYLOADS[1]]),
        "school": look("/admin/hl7/endpoints/SCH-01"),
    }
    page.goto(f"{url}{there}")
    posted(page, url, f"{there}/reveal", reason=f"because {PAYLOADS[30]}")
    shown["unmasked"] = look(there, [IMAGE])
    shown["audit"] = look("/audit")
    assert {name: found for name, found in shown.items() if found} == {}
