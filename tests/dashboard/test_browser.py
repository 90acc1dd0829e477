"""The main path and accessibility in a real Chromium against a real server. It fails, and says why, without Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dashboard import create_app
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.payloads import stored_parcel
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import PASSWORD, PATIENCE_MS, make_people, page_of, served
from tests.dashboard.samples import form_in, place_order, worker_alive
from tests.engine.processes import until

AXE = Axe().axe_script
# Of the rows of a long table, which are all made by the same lines, the first so many are looked at.
MOST_ROWS = 16
LOOK = """async (rows) => {
  const before = window.isInUse;
  window.isInUse = () => true;
  const page = { exclude: [`tbody tr:nth-child(n + ${rows + 1})`] };
  try { return (await axe.run(page, { resultTypes: ["violations"] })).violations; } finally { window.isInUse = before; }
}"""


@dataclass
class Site:
    """A running dashboard, and a browser on it."""

    url: str
    browser: Browser
    mail_key: str = ""

    def signed_in(self, role: str, *, scheme: str = "light", width: int = 1440, scripts: bool = True) -> Page:
        page = self.visitor(scheme=scheme, width=width, scripts=scripts)
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("E-mail address").fill(f"{role}@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.wait_for_load_state()
        return page

    def visitor(self, *, scheme: str = "light", width: int = 1440, scripts: bool = True) -> Page:
        """An empty page of somebody who is not signed in. Colours are at rest at once, so that they can be measured."""
        context: BrowserContext = self.browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
        )
        context.set_default_timeout(PATIENCE_MS)
        return context.new_page()


@pytest.fixture
def chromium(one_chromium: Browser) -> Browser:
    """A real Chromium. Whoever serves pages to it closes them: an open one goes on asking a server that is gone."""
    return one_chromium


@pytest.fixture
def site(chromium: Browser, settings_env: Settings, cheap_passwords: None, tmp_path: Path) -> Iterator[Site]:
    """The dashboard behind a real HTTP server."""
    import mailbox

    forget_process_state()
    app = create_app(settings_env.model_copy(update={"mailbox_dir": tmp_path / "mail"}))
    make_people()
    mail = EmailMessage()
    mail["Subject"], mail["To"] = "Your form", "ada@example.org"
    mail.set_content("plain words")
    mail.add_alternative("<p>Hello</p><script>document.title = 'run'</script>", subtype="html")
    key = mailbox.Maildir(tmp_path / "mail").add(mail)
    with served(app) as url:
        yield Site(url, chromium, key)
        for context in chromium.contexts:
            context.close()
    forget_process_state()


def test_support_finds_a_failed_form_and_retries_it(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-31415")
        form_in("SENT", number="VO-27182")
    page = site.signed_in("support")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.get_by_role("link", name="Failed 1").click()
    expect(page.get_by_role("link", name="VO-31415", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="VO-27182")).to_have_count(0)
    page.get_by_role("link", name="VO-31415", exact=True).click()
    expect(page.get_by_text("Recipient address rejected").first).to_be_visible()
    page.locator("#retry summary").click()
    expect(page.locator("#retry")).to_contain_text("It is sent once to a•••@example.org")
    page.get_by_label("Why now?").fill("the mailbox exists now")
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("status")).to_contain_text("Queued to be sent now.")
    expect(page.get_by_label("Where it is").get_by_text("Waiting", exact=True)).to_be_visible()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.get_by_text("Nothing matches this filter")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert errors == []


def test_a_list_row_is_cancelled_with_a_reason_in_a_dialog(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-31415")
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches?status=FAILED")
    page.get_by_role("link", name="Cancel VO-31415").click()
    page.get_by_label("Reason").fill("ordered twice")
    page.get_by_role("button", name="Cancel the dispatch").click()
    expect(page.get_by_role("status")).to_contain_text("Cancelled. It will not be sent.")
    expect(page).to_have_url(f"{site.url}/dispatches?status=FAILED")


def retried_with(page: Page, *, times: int) -> str:
    """The reason of the retry that is so many in number, once the page tells of it."""
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".toasts")).to_contain_text("Queued to be sent now.")
    until(lambda: len(reasons()) == times, what="the retry")
    page.wait_for_load_state()  # before that a page is there, but not its scripts, which open the next dialog
    return reasons()[-1]


def reasons() -> list[str]:
    with connected():
        return [row[0] for row in fetch_all("SELECT reason FROM operator_actions WHERE action = 'retry' ORDER BY id")]


def test_a_list_row_is_retried_for_a_usual_reason_in_two_clicks_or_in_own_words(site: Site) -> None:
    with connected():
        for number in ("VO-1", "VO-2", "VO-3"):
            form_in("FAILED", number=number)
    page = site.signed_in("support")
    here = f"{site.url}/dispatches?status=FAILED"
    page.goto(here)
    page.get_by_role("link", name="Retry VO-1").click()
    dialog = page.get_by_role("dialog", name="Retry: VO-1")
    expect(dialog).to_contain_text("It is sent now to a•••@example.org.")
    assert violations(page) == []
    dialog.get_by_role("button", name="The cause is mended").click()
    assert retried_with(page, times=1) == "The cause is mended"
    expect(page).to_have_url(here)
    page.get_by_role("link", name="Retry VO-2").click()
    dialog = page.get_by_role("dialog", name="Retry: VO-2")
    dialog.get_by_role("button", name="Retry", exact=True).click()
    expect(dialog).to_be_visible()  # nothing leaves without a reason
    dialog.get_by_label("Why now").fill("the mailbox exists now")
    dialog.get_by_label("Why now").press("Enter")
    assert retried_with(page, times=2) == "the mailbox exists now"
    page.get_by_role("link", name="Retry VO-3").click()
    dialog = page.get_by_role("dialog", name="Retry: VO-3")
    expect(dialog.get_by_label("Why now")).to_have_value("")
    dialog.get_by_label("Why now").fill("she called")
    dialog.get_by_role("button", name="Asked for by the recipient").click()
    assert retried_with(page, times=3) == "Asked for by the recipient: she called"


def test_everything_works_without_scripts(site: Site) -> None:
    with connected():
        row = form_in("IN_DOUBT")
    page = site.signed_in("support", scripts=False)
    page.goto(site.url + page_of(row))
    page.locator("#confirm-sent summary").click()
    page.locator("#confirm-sent").get_by_label("How do you know that it arrived?").fill("the patient answered")
    page.get_by_role("button", name="Confirm: it was sent").click()
    expect(page.get_by_role("status")).to_contain_text("Marked as sent, on your word.")


def test_the_overview_refreshes_itself(site: Site) -> None:
    page = site.signed_in("viewer")
    expect(page.get_by_role("link", name="In doubt 0").first).to_be_visible()
    with connected():
        form_in("IN_DOUBT")
    expect(page.get_by_role("link", name="In doubt 1")).to_be_visible()


def test_a_hostile_order_number_runs_nothing(site: Site) -> None:
    with connected():
        order_id = place_order('<img src=x onerror="document.title=1">', kits=("KIT-1",))
    page = site.signed_in("admin")
    for path in ("/", "/dispatches", f"/kit-orders/{order_id}"):
        page.goto(site.url + path)
        expect(page.get_by_text("<img src=x").first).to_be_visible()
        assert page.locator("main img").count() == 0


def test_a_mails_script_does_not_run(site: Site) -> None:
    page = site.signed_in("admin")
    page.goto(f"{site.url}/mailbox/{site.mail_key}")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Hello")).to_be_visible()
    assert page.frames[1].title() != "run"


def test_a_mail_is_whole_on_a_narrow_screen(site: Site, tmp_path: Path) -> None:
    import mailbox

    with connected():
        row = form_in("SENT")
        parcel = stored_parcel(registry.lane("health_information"), row)
    assert parcel is not None
    key = mailbox.Maildir(tmp_path / "mail").add(parcel.body)
    page = site.signed_in("support", width=390)
    page.goto(f"{site.url}/mailbox/{key}")
    expect(page.frame_locator("iframe").get_by_text("Fill in your form")).to_be_visible()
    [height, width] = page.frames[1].evaluate(
        "[document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth]"
    )
    assert (height, width) == (0, 0)


def test_rows_are_short_on_a_narrow_screen(site: Site) -> None:
    with connected():
        for state in ("PENDING", "FAILED", "IN_DOUBT", "SENT"):
            form_in(state, number=f"VO-{state}")
    page = site.signed_in("support", width=390)
    page.goto(f"{site.url}/dispatches")
    heights = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().height)")
    assert len(heights) == 8
    assert sum(heights) / len(heights) < 130
    assert max(heights) < 180


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_accessibility_violations(site: Site, scheme: str) -> None:
    with connected():
        worker_alive()
        rows = [
            form_in(state, number=f"VO-{state}")
            for state in ("PENDING", "QUEUED", "FAILED", "IN_DOUBT", "SENT", "CANCELLED")
        ]
        unshipped = place_order("VO-0", practitioner=None)
    paths = [
        "/",
        "/dispatches",
        "/dispatches?status=LOST&from=x",
        "/dispatches?q=nothing-like-it",
        "/lanes/health_information",
        "/kit-orders",
        f"/kit-orders/{rows[2]['order_id']}",
        f"/kit-orders/{unshipped}",
        f"/kit-orders/{uuid4()}",
        "/mailbox",
        f"/mailbox/{site.mail_key}?part=text",
        "/form/none",
        *[page_of(row) for row in rows],
    ]
    visitor = site.visitor(scheme=scheme)
    visitor.goto(f"{site.url}/sign-in")
    found = {"/sign-in": violations(visitor)}
    page = site.signed_in("admin", scheme=scheme)
    for path in paths:
        page.goto(site.url + path)
        for details in page.locator("details.act, details.more").all():
            details.evaluate("element => { element.open = true }")
        found[path] = violations(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/dispatches", page_of(rows[2])):
        page.goto(site.url + path)
        found[f"{path} narrow"] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert {path: names for path, names in found.items() if names} == {}


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now, which meanwhile does not refresh itself."""
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    wrong = page.evaluate(LOOK, MOST_ROWS)
    return [
        f"{found['id']}: {found['nodes'][0]['html'][:160]} {found['nodes'][0]['failureSummary'][:300]}"
        for found in wrong
    ]
