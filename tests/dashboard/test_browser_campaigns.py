"""A campaign is written, looked at and started in a real Chromium, with scripts and without; axe on each page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard import campaign_samples as samples
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_browser_outreach import wide

__all__ = ["chromium", "site"]  # fixtures

PATH = "/outreach/campaigns"


@pytest.mark.parametrize(("scripts", "scheme", "width"), [(True, "light", 1280), (False, "dark", 390)])
def test_a_campaign_is_written_looked_at_started_and_stopped(
    site: Site, scripts: bool, scheme: str, width: int
) -> None:
    samples.text()
    samples.readers(4)
    samples.segment()
    page = site.signed_in("admin", scheme=scheme, width=width, scripts=scripts)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site.url}{PATH}/new")
    page.get_by_label("Name", exact=True).fill("Walking in spring")
    page.get_by_label("Whom", exact=True).select_option(label="Everybody (4 patients)")
    page.get_by_role("button", name="Add a step").focus()
    page.keyboard.press("Enter")
    second = page.get_by_role("group", name="Step 2", exact=True)
    expect(second).to_be_visible()
    if scripts:
        expect(second.get_by_label("What the step is called")).to_be_focused()
        expect(page.get_by_text("A step was added.")).to_be_attached()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Walking in spring")
    second.get_by_label("What the step is called").fill("Once more")
    second.get_by_role("button", name="Add a condition").click()
    expect(second.get_by_label("What must hold, condition 1 of step 2")).to_have_value("not_answered")
    second.get_by_label("Days", exact=True).fill("many")
    looked_at(page, scripts)
    page.get_by_role("button", name="Save and look at what it would do").click()
    expect(page.get_by_role("alert")).to_contain_text("Step 2, days: It is a whole number")
    expect(second.get_by_label("Days", exact=True)).to_have_attribute("aria-invalid", "true")
    looked_at(page, scripts)
    second.get_by_label("Days", exact=True).fill("5")
    page.get_by_role("button", name="Save and look at what it would do").click()
    expect(page.get_by_text("Begins for 4 patients")).to_be_visible()
    looked_at(page, scripts)
    page.get_by_label("Type the number of patients").fill("4")
    page.get_by_role("button", name="Start the campaign").click()
    expect(page.get_by_role("heading", name="Step by step")).to_be_visible()
    expect(page.get_by_text("5 days after")).to_be_visible()
    looked_at(page, scripts)
    page.goto(f"{site.url}{PATH}")
    page.get_by_text("Emergency stop…").click()
    page.get_by_label("Type STOP in capitals").fill("STOP")
    page.get_by_label("Why? Everybody").fill("a wrong link")
    looked_at(page, scripts)
    page.get_by_role("button", name="Pause every campaign").click()
    expect(page.get_by_text("1 campaign is paused.")).to_be_visible()
    page.get_by_role("link", name="Walking in spring").click()
    expect(page.get_by_text("Paused: nothing of it leaves")).to_be_visible()
    looked_at(page, scripts)
    assert [each.status for each in samples.every_campaign()] == ["paused"]
    assert errors == []


def looked_at(page: Page, scripts: bool) -> None:
    """What axe finds, where it can run, and whether one has to scroll sideways."""
    if scripts:
        assert violations(page) == []
    assert not wide(page)
