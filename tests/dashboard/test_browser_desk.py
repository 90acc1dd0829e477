"""The in-doubt desk, incidents and replays, the overview, stories and a dispatch's content in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dispatchlog.engine.database import connected
from dispatchlog.systems import registry
from tests.dashboard.browsing import page_of
from tests.dashboard.samples import form_in, registration_in_doubt, send_due, the_row
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_incidents import CAUSE, FORMS, failed_forms

__all__ = ["chromium", "site"]  # fixtures

NARROW = 390


def errors_of(page: Page) -> list[str]:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    return errors


@pytest.mark.parametrize("scripts", [True, False])
def test_doubts_are_settled_one_after_the_other(site: Site, scripts: bool) -> None:
    with connected():
        rows = [form_in("IN_DOUBT", number=f"VO-{number}") for number in range(3)]
    page = site.signed_in("support", scripts=scripts)
    errors = errors_of(page)
    page.get_by_role("link", name="In doubt 3").first.click()
    expect(page.get_by_role("heading", name="In doubt", exact=True)).to_be_visible()
    first = page.locator(f"#doubt-{rows[0]['id']}")
    expect(first).to_contain_text("354 End data with")
    first.locator("summary", has_text="It was sent").click()
    first.get_by_label("How do you know that it arrived?").fill("it is in the server's log")
    first.get_by_role("button", name="Confirm: it was sent").click()
    expect(page.get_by_role("status")).to_contain_text("Marked as sent, on your word.")
    expect(first).to_have_count(0)
    second = page.locator(f"#doubt-{rows[1]['id']}")
    expect(page).to_have_url(f"{site.url}/in-doubt#doubt-{rows[1]['id']}")
    if scripts:
        expect(second).to_be_focused()
    second.locator("summary", has_text="It was not sent").click()
    second.get_by_label("How do you know that it did not arrive?").fill("not in the log")
    second.get_by_role("button", name="Confirm and send again").click()
    expect(page.get_by_role("status")).to_contain_text("Queued to be sent again.")
    third = page.locator(f"#doubt-{rows[2]['id']}")
    third.locator("summary", has_text="Escalate").click()
    third.get_by_label("What did you find out, and what is needed?").fill("the log begins later; ask the provider")
    third.get_by_role("button", name="Escalate").last.click()
    expect(third).to_contain_text("the log begins later; ask the provider")
    expect(third).to_contain_text("by support@example.org")
    third.locator("summary", has_text="Take the escalation back").click()
    third.get_by_label("Why it need not be escalated any more").fill("found it")
    third.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("status")).to_contain_text("The escalation was taken back.")
    assert errors == []


def test_a_retry_from_the_desk_asks_why(site: Site) -> None:
    with connected():
        registration_in_doubt()
    page = site.signed_in("support")
    page.goto(f"{site.url}/in-doubt")
    page.locator("summary", has_text="Retry").click()
    expect(page.get_by_text("the earlier try by its key")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="The provider is available again").click()
    expect(page.get_by_role("status")).to_contain_text("Queued to be registered now.")
    expect(page.get_by_text("Nothing is in doubt")).to_be_visible()


def test_a_form_that_is_being_filled_in_is_not_refreshed_away(site: Site) -> None:
    with connected():
        row = form_in("IN_DOUBT")
    page = site.signed_in("support")
    page.goto(f"{site.url}/in-doubt")
    card = page.locator(f"#doubt-{row['id']}")
    card.locator("summary", has_text="It was sent").click()
    field = card.get_by_label("How do you know that it arrived?")
    expect(field).to_be_focused()
    field.fill("half a sen")
    page.evaluate("refresh(document.getElementById('live'))")
    expect(field).to_have_value("half a sen")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_replay_from_the_first_to_the_last(site: Site, scripts: bool) -> None:
    with connected():
        failed_forms(8)
    page = site.signed_in("support", scripts=scripts)
    errors = errors_of(page)
    page.get_by_role("link", name="Incidents").first.click()
    expect(page.get_by_role("heading", name=CAUSE)).to_be_visible()
    page.locator("summary", has_text="Provider restored: replay").click()
    page.get_by_label("Why will it work now?").fill("the password is set again")
    page.get_by_role("button", name="Replay 8").click()
    expect(page.get_by_text("1 is on the way")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_contain_text("Stopped.")
    page.locator("#resume summary").click()
    page.get_by_label("Why will it work now?").fill("go on")
    page.locator("#resume").get_by_role("button", name="Go on").click()
    expect(page.get_by_role("status")).to_contain_text("It goes on.")
    for _ in range(4):
        with connected():
            send_due(FORMS)
        page.reload()
    expect(page.get_by_text("Everything on the list was released.")).to_be_visible()
    expect(page.get_by_text("8 of 8 settled")).to_be_visible()
    assert errors == []


def test_a_replay_page_follows_by_itself_and_is_given_up(site: Site) -> None:
    with connected():
        failed_forms(3)
    page = site.signed_in("support")
    page.goto(f"{site.url}/incidents")
    page.locator("summary", has_text="Provider restored: replay").click()
    page.get_by_label("Why will it work now?").fill("the password is set again")
    page.get_by_role("button", name="Replay 3").click()
    expect(page.get_by_text("1 is on the way")).to_be_visible()
    with connected():
        send_due(FORMS)
    expect(page.get_by_text("2 are on the way")).to_be_visible()
    page.locator("#end summary").click()
    page.locator("#end").get_by_label("Reason").fill("wrong provider")
    page.get_by_role("button", name="Give the replay up").click()
    expect(page.get_by_role("status")).to_contain_text("Given up.")


def test_a_dispatch_says_what_follows_and_is_retried_for_a_reason(site: Site) -> None:
    with connected():
        row = form_in("FAILED")
    page = site.signed_in("support")
    page.goto(site.url + page_of(row))
    page.locator("#retry summary").click()
    expect(page.locator("#retry")).to_contain_text("It is sent once to a•••@example.org.")
    page.get_by_label("Why now?").fill("the mailbox exists now")
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("status")).to_contain_text("Queued to be sent now.")


def test_the_content_stands_in_a_frame_that_runs_nothing(site: Site) -> None:
    with connected():
        row = form_in("SENT", email="ada.lovelace@example.org")
    page = site.signed_in("support")
    page.goto(site.url + page_of(row))
    page.locator("#content summary").click()
    frame = page.frame_locator("#content iframe")
    expect(frame.get_by_text("Fill in your form")).to_be_visible()
    assert "/•••" in str(frame.locator("a").first.get_attribute("href"))
    page.get_by_label("Why do you need to see them?").fill("the patient asks")
    page.get_by_role("button", name="Show it unmasked").click()
    expect(page.locator("#content")).to_contain_text("ada.lovelace@example.org")
    expect(page.locator("#content")).to_contain_text("That you looked was kept.")


def test_a_story_is_searched_and_told(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-31415", email="ada.lovelace@example.org")
    page = site.signed_in("support")
    page.get_by_role("link", name="Stories").click()
    page.get_by_label("Whose story?").fill("ada.lovelace@example.org")
    page.get_by_role("button", name="Tell it").click()
    expect(page.get_by_role("heading", name="VO-31415")).to_be_visible()
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    for named in ("lovelace", "@", "%40"):
        assert named not in page.url
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    expect(page.get_by_text("Recipient address rejected").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_accessible_and_fit_a_telephone(site: Site, scheme: str) -> None:
    page = site.signed_in("admin", scheme=scheme)
    empty = ["/in-doubt", "/incidents", "/upcoming", "/stories?q=nothing"]
    found = {f"{path} empty": look(site, page, path) for path in empty}
    with connected():
        doubts = [form_in("IN_DOUBT", number=f"VO-{number}") for number in range(2)]
        failed_forms(8)
        form_in("FAILED", number="VO-7")
        sent = form_in("SENT", number="VO-8")
        form_in("PENDING", number="VO-9")
        registration_in_doubt()
    page.goto(f"{site.url}/in-doubt")
    card = page.locator(f"#doubt-{doubts[0]['id']}")
    card.locator("summary", has_text="Escalate").click()
    card.get_by_label("What did you find out").fill("the log begins later")
    card.get_by_role("button", name="Escalate").last.click()
    expect(card).to_contain_text("by admin@example.org")
    page.goto(f"{site.url}/incidents")
    section = page.locator("section.incident", has_text=CAUSE)
    section.locator("summary").click()
    section.get_by_label("Why will it work now?").fill("the password is set again")
    page.get_by_role("button", name="Replay 8").click()
    expect(page.get_by_text("1 is on the way")).to_be_visible()
    subject = sent["subject_id"]
    paths = [
        "/",
        "/in-doubt",
        "/in-doubt?escalated=1",
        "/in-doubt?lane=nope",
        "/incidents",
        "/incidents?days=7",
        "/incidents/replays/1",
        "/upcoming?within=day",
        "/stories?q=VO",
        f"/stories/story?subject={subject}",
        page_of(sent),
        page_of(the_form_in_doubt()),
    ]
    found |= {path: look(site, page, path) for path in paths}
    page.set_viewport_size({"width": NARROW, "height": 844})
    for path in paths:
        found[f"{path} narrow"] = look(site, page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, path
    assert {path: names for path, names in found.items() if names} == {}


def the_form_in_doubt() -> dict[str, object]:
    with connected():
        return {"id": the_row("health_information")["id"], "lane": registry.lane(FORMS).name}


def look(site: Site, page: Page, path: str) -> list[str]:
    page.goto(site.url + path)
    for details in page.locator("details.act, details.more, details.evidence").all():
        details.evaluate("element => { element.open = true }")
    return violations(page)
