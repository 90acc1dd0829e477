"""Pages about messages to patients in a real Chromium: staff's in each theme and width; a patient's own, end to end."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import patient_rows
from tests.dashboard.patient_rows import NOW
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_comm_patients import wrote
from tests.outreach import builders
from tests.outreach.builders import rows

__all__ = ["chromium", "site"]  # fixtures


def somebody() -> UUID:
    """A patient with much to show."""
    clinic = builders.organization()
    patient_id = builders.patient(organization_id=clinic, provider_id=builders.provider(clinic))
    builders.appointment(patient_id, starts_at=NOW + timedelta(days=3), status="confirmed", confirmed_at=NOW)
    patient_rows.planned(patient_id, Channel.EMAIL)
    patient_rows.moved(patient_id, "SENT", replied_at=NOW)
    patient_rows.moved(patient_id, "SENT", Channel.EMAIL, bounced_at=NOW, bounce_code="5.1.1")
    patient_rows.failed(patient_id)
    patient_rows.failed(patient_id, in_doubt=True, last_error_code="TIMEOUT")
    wrote(patient_id, "can I bring my daughter?", intent="other", waits_for_person=True)
    return patient_id


def wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_wrong_with_staffs_pages(site: Site, scheme: str, width: int) -> None:
    patient_id = somebody()
    clinic = rows("SELECT id FROM comm_organizations")[0]["id"]
    page = site.signed_in("admin", scheme=scheme, width=width)
    found: dict[str, list[str]] = {}
    for path in (
        "/outreach/patients",
        f"/outreach/patients/{patient_id}",
        f"/outreach/patients/{patient_id}/preferences",
        "/outreach/failed",
        "/outreach/failed?show=came-back",
        "/outreach/optimiser",
        "/outreach/preferences",
        "/outreach/preferences?level=organization",
        f"/outreach/preferences?level=organization&of={clinic}",
    ):
        page.goto(f"{site.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        for summary in page.locator("main details > summary").all():
            summary.click()
        found[path] = violations(page) + (["it is wider than the screen"] if wide(page) else [])
    assert {path: bad for path, bad in found.items() if bad} == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_an_opt_out_is_recorded_on_the_patients_page(site: Site, scripts: bool) -> None:
    patient_id = somebody()
    page = site.signed_in("support", scripts=scripts)
    page.goto(f"{site.url}/outreach/patients/{patient_id}")
    page.get_by_text("Record an opt-out…").click()
    page.get_by_label("By which channel?").select_option("email")
    page.get_by_label("How did the patient say it?").fill("Said so on the telephone")
    page.get_by_role("button", name="Record it").click()
    expect(page.get_by_text("Nothing more is sent by e-mail; what waited is cancelled.")).to_be_visible()
    expect(page.get_by_text("Nothing waits to be sent.")).to_be_visible()


@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("en", "light", 1280), ("ar", "dark", 390), ("hi", "light", 390)]
)
def test_axe_finds_nothing_wrong_with_patients_own_pages(site: Site, language: str, scheme: str, width: int) -> None:
    patient_id = builders.patient(organization_id=builders.organization(), language=language)
    link = patient_rows.preferences_link(patient_id, Channel.EMAIL)
    message = patient_rows.message_link(patient_id, patient_rows.planned(patient_id), "Please call us.")
    page = site.visitor(scheme=scheme, width=width)
    found: dict[str, list[str]] = {}
    for path in (link, f"{link}?saved=1", f"{link}/one-click", message, "/p/nothing"):
        page.goto(f"{site.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        found[path] = violations(page) + (["it is wider than the screen"] if wide(page) else [])
    assert {path: bad for path, bad in found.items() if bad} == {}
    page.goto(f"{site.url}{link}")
    expect(page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    box, words = page.locator(".choice input[type=checkbox]").first, page.locator(".choice label > span").first
    left_of = (box.bounding_box() or {})["x"] < (words.bounding_box() or {})["x"]
    assert left_of is (language != "ar")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_patient_unsubscribes_and_comes_back(site: Site, scripts: bool) -> None:
    patient_id = builders.patient(organization_id=builders.organization())
    waiting = patient_rows.planned(patient_id, Channel.EMAIL)
    link = patient_rows.preferences_link(patient_id, Channel.EMAIL, job_id=waiting)
    page = site.visitor(scripts=scripts)
    page.goto(f"{site.url}{link}/one-click")
    expect(page.get_by_role("heading", name="Stop these messages?")).to_be_visible()
    assert rows("SELECT * FROM comm_stops") == []
    page.get_by_role("button", name="Stop them").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert rows("SELECT status FROM comm_jobs WHERE id = %s", waiting)[0]["status"] == "CANCELLED"
    page.get_by_role("link", name="All your choices").click()
    page.get_by_label("I agree that Sample Clinic sends me messages about my care by e-mail again").check()
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_text("Your choices are saved.")).to_be_visible()
    assert rows("SELECT * FROM comm_stops") == []
    assert page.context.cookies() == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_axe_finds_nothing_wrong_with_the_figures_and_the_filter_works_by_keyboard(
    site: Site, scheme: str, width: int
) -> None:
    patient_id = builders.patient()
    yesterday = NOW - timedelta(days=1)
    appointment = builders.appointment(patient_id, starts_at=yesterday, status="completed")
    builders.appointment(patient_id, starts_at=yesterday, status="no_show")
    for channel in (Channel.SMS, Channel.EMAIL):
        patient_rows.moved(
            patient_id,
            "SENT",
            channel,
            appointment_id=appointment,
            sent_at=yesterday - timedelta(hours=2),
            delivered_at=NOW,
        )
    patient_rows.moved(patient_id, "SENT", sent_at=yesterday, bounced_at=NOW)
    page = site.signed_in("admin", scheme=scheme, width=width)
    found: dict[str, list[str]] = {}
    for path in ("", "/appointments", "/rates", "?from=2020-01-01&to=2020-01-02"):
        page.goto(f"{site.url}/outreach/analytics{path}")
        expect(page.locator("h1")).to_be_visible()
        for summary in page.locator("main details > summary").all():
            summary.click()
        found[path] = violations(page) + (["it is wider than the screen"] if wide(page) else [])
    assert {path: bad for path, bad in found.items() if bad} == {}
    page.goto(f"{site.url}/outreach/analytics")
    page.get_by_label("Channel", exact=True).select_option("email")
    page.get_by_role("button", name="Show").press("Enter")
    expect(page.get_by_text("by e-mail")).to_be_visible()
    expect(page.get_by_role("region", name="Figures by channel").get_by_role("row")).to_have_count(2)
