"""Open pages keep current by themselves, in a real Chromium: told by the stream, or by asking where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from playwright.sync_api import Page, Request, expect

from dashboard import create_app, live_hub
from dispatchlog.engine import holds
from dispatchlog.engine.database import configure, connected, database, execute, transaction
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.settings import Settings, get_settings
from tests.dashboard import browsing
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import PATIENCE_MS, make_people, page_of
from tests.dashboard.samples import form_in, make_due, place_order, scheduler_alive, send_due, worker_alive
from tests.dashboard.test_browser import Site, chromium, violations
from tests.dashboard.web_process import kill_web, start_web
from tests.engine.processes import until
from tests.ports import free_port

__all__ = ["chromium"]  # a fixture

# A page whose server is gone asks less and less often, and knows so only when a question has waited for long enough.
AWAY_MS = 180_000


@pytest.fixture
def serve(chromium: Any, settings_env: Settings, cheap_passwords: None) -> Iterator[Callable[..., Site]]:
    """Starts a dashboard whose pages ask by themselves once an hour, unless `rarely` says otherwise: they are told."""
    forget_process_state()
    with ExitStack() as stack:
        yield lambda *, rarely=True, **changes: stack.enter_context(
            served(chromium, settings_env.model_copy(update=changes), rarely=rarely)
        )
    database.close_all()
    forget_process_state()


@pytest.fixture
def site(serve: Callable[..., Site]) -> Site:
    return serve()


@contextmanager
def served(chromium: Any, settings: Settings, *, rarely: bool) -> Iterator[Site]:
    """The dashboard behind a real server; at the end its pages are closed, and then the server."""
    app = create_app(settings)
    if rarely:
        app.after_request(_let_pages_ask_rarely)
    make_people()
    with browsing.served(app) as url:
        try:
            yield Site(url, chromium)
        finally:
            for context in chromium.contexts:
                context.close()
            live_hub.close_all()


def _let_pages_ask_rarely(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.set_data(re.sub(r'data-refresh="\d+"', 'data-refresh="3600"', response.get_data(as_text=True)))
    return response


def is_live(page: Page, state: str = "on") -> None:
    expect(page.locator("html")).to_have_attribute("data-live", state)


def in_background(request: Request) -> bool:
    return "x-background-refresh" in request.headers


def streams() -> int:
    return sum(len(hub) for hub in list(live_hub._hubs))


def hide(page: Page, *, hidden: bool) -> None:
    """What the browser does when another tab is brought to the front, or this one again."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_a_change_is_shown_by_itself(site: Site) -> None:
    page = site.signed_in("viewer")
    page.goto(site.url)
    is_live(page)
    expect(page.locator("[data-live-text]")).to_contain_text("Live")
    with connected():
        form_in("IN_DOUBT")
    expect(page.get_by_role("link", name="In doubt 1")).to_be_visible()


def test_a_list_and_a_dispatch_are_told_what_concerns_them(site: Site) -> None:
    with connected():
        row = form_in("PENDING", number="VO-1")
    listing, one = site.signed_in("viewer"), site.signed_in("viewer")
    for page, path in ((listing, "/lanes/health_information"), (one, page_of(row))):
        page.goto(site.url + path)
        is_live(page)
    with connected():
        make_due("health_information")
        send_due("health_information")
        form_in("FAILED", number="VO-2")
    expect(listing.get_by_role("link", name="VO-2", exact=True)).to_be_visible()
    expect(one.get_by_label("Where it is").get_by_text("Sent", exact=True)).to_be_visible()


def test_what_concerns_another_lane_is_not_asked_for(site: Site) -> None:
    # Soon after it began, the server's tail tells everybody once to read everything, and only then of single moves. The
    # page comes after that.
    before = site.signed_in("viewer")
    heard = listening(before)
    until_heard(before, heard, "hello")
    with connected():
        place_order("VO-8")
    until_true(before, lambda: any(not each.startswith("hello") for each in heard), what="hearing of it")
    page = site.signed_in("viewer")
    # Not what the overview, from where it comes, asked at its last moment.
    with page.expect_response(lambda answer: in_background(answer.request) and "/lanes/" in answer.url):
        page.goto(f"{site.url}/lanes/health_information")
    heard = listening(page)
    until_heard(page, heard, "hello")
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if in_background(request) else None)
    with connected():
        place_order("VO-9")
    until_heard(page, heard, "kit_registration")
    assert asked == []


def listening(page: Page) -> list[str]:
    """What a further stream of this page is told from now on."""
    heard: list[str] = []
    page.expose_function("heard", lambda text: heard.append(str(text)))
    page.evaluate(
        "() => { const s = new EventSource('/live');"
        " for (const n of ['hello', 'all', 'moved']) s.addEventListener(n, e => heard(n + e.data)); }"
    )
    return heard


def until_heard(page: Page, heard: list[str], word: str) -> None:
    """Wait in the browser's own loop, which is what calls back."""
    until_true(page, lambda: any(word in each for each in heard), what=f"hearing {word}")


def until_true(page: Page, condition: Callable[[], bool], *, what: str) -> None:
    for _ in range(PATIENCE_MS // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"in vain: {what}")


def background(page: Page) -> tuple[list[Request], list[Request]]:
    """What this page asks by itself from now on, and what of it is over."""
    asked: list[Request] = []
    over: list[Request] = []

    def end(request: Request) -> None:
        if in_background(request):
            over.append(request)

    page.on("request", lambda request: asked.append(request) if in_background(request) else None)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    return asked, over


def test_pausing_is_shown_by_itself(site: Site) -> None:
    page = site.signed_in("viewer")
    page.goto(site.url)
    is_live(page)
    holds.hold(holds.Target("lane", "health_information"), actor="bo@example.org", reason="wrong template")
    expect(page.get_by_text("“wrong template”")).to_be_visible()


def test_a_hidden_page_neither_listens_nor_asks_and_is_current_when_shown_again(site: Site) -> None:
    page = site.signed_in("viewer")
    page.goto("about:blank")  # of a question that its leaving cuts off nobody hears the end
    before, over = background(page)
    page.goto(site.url)
    is_live(page)
    hide(page, hidden=True)
    is_live(page, "paused")
    until(lambda: streams() == 0, what="its stream is closed")
    # What it asked before may be answered late, and would then show what comes only now.
    until_true(page, lambda: len(over) == len(before), what="answers to what it asked before")
    asked: list[Request] = []
    page.on("request", lambda request: asked.insert(0, request))
    with connected():
        form_in("IN_DOUBT")
    expect(page.get_by_role("link", name="In doubt 0").first).to_be_visible()
    assert asked == []
    hide(page, hidden=False)
    expect(page.get_by_role("link", name="In doubt 1")).to_be_visible()
    is_live(page)


def test_where_the_stream_is_refused_the_page_asks_instead(serve: Callable[..., Site]) -> None:
    site = serve(live_streams=0, rarely=False)
    page = site.signed_in("viewer")
    is_live(page, "off")
    with connected():
        form_in("IN_DOUBT")
    expect(page.get_by_role("link", name="In doubt 1")).to_be_visible()


def test_a_refused_page_is_told_of_changes_as_soon_as_there_is_room(serve: Callable[..., Site]) -> None:
    site = serve(live_streams=0)
    page = site.signed_in("viewer")
    is_live(page, "off")
    for hub in live_hub._hubs:
        hub._most = 1
    is_live(page)


def test_a_page_whose_stream_the_server_ends_listens_again(site: Site) -> None:
    page = site.signed_in("viewer")
    is_live(page)
    page.evaluate(
        """() => {
            const root = document.documentElement;
            window.states = [];
            new MutationObserver(() => window.states.push(root.dataset.live)).observe(root, {attributes: true});
        }"""
    )
    for hub in live_hub._hubs:
        for stream in list(hub._streams):
            stream.end()
    until(lambda: page.evaluate("window.states.includes('off')"), what="it is told")  # which passes by
    is_live(page)
    with connected():
        form_in("IN_DOUBT")
    expect(page.get_by_role("link", name="In doubt 1")).to_be_visible()


def test_signing_out_elsewhere_ends_an_open_page_at_once(site: Site) -> None:
    page = site.signed_in("viewer")
    page.goto(site.url)
    is_live(page)
    other = page.context.new_page()
    other.goto(site.url)
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_somebody_who_writes_is_not_disturbed_and_then_sees_what_changed(site: Site) -> None:
    page = site.signed_in("support")
    page.goto(f"{site.url}/pausing")
    is_live(page)
    form = page.locator("#lane-health_information")
    form.locator("summary").click()
    form.get_by_label("Why?").fill("half a sen")
    holds.hold(holds.Target("gateway", "smtp"), actor="bo@example.org", reason="maintenance")
    until(lambda: streams() > 0, what="it listens")
    expect(form.get_by_label("Why?")).to_have_value("half a sen")
    form.get_by_label("Why?").press_sequentially("tence")
    form.get_by_role("button", name="Pause Health-information forms").click()
    expect(page.get_by_role("status")).to_contain_text("Health-information forms is paused.")
    expect(page.get_by_text("“half a sentence”")).to_be_visible()
    expect(page.get_by_text("“maintenance”")).to_be_visible()


def test_a_link_that_is_being_pressed_is_not_replaced_by_what_changed(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-1")
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches?status=FAILED")
    page.get_by_role("link", name="Retry VO-1").hover()
    page.mouse.down()
    with connected():
        form_in("FAILED", number="VO-2")
    assert page.evaluate("() => refresh(document.querySelector('[data-refresh]'))") is False
    page.mouse.up()
    expect(page.get_by_role("dialog", name="Retry: VO-1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="VO-2", exact=True)).to_be_visible()


REFRESH = "() => refresh(document.querySelector('[data-refresh]'))"


def test_somebody_who_searches_while_the_list_changes_keeps_their_place_and_words(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-1")
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches?status=FAILED")
    page.keyboard.press("/")
    page.keyboard.type("VO")
    with connected():
        form_in("FAILED", number="VO-2")
    assert page.evaluate(REFRESH) is True
    expect(page.get_by_role("link", name="VO-2", exact=True)).to_be_visible()
    page.keyboard.type("-2")
    expect(page.get_by_label("Search")).to_have_value("VO-2")


def test_what_was_chosen_and_not_yet_sent_is_not_taken_back_by_what_changed(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-1")
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches?status=FAILED")
    page.locator("#bulk-action").select_option("cancel")
    page.locator("#bulk-action").blur()
    with connected():
        form_in("FAILED", number="VO-2")
    assert page.evaluate(REFRESH) is False
    expect(page.locator("#bulk-action")).to_have_value("cancel")
    page.locator("#bulk-action").select_option("retry")
    page.locator("#bulk-action").blur()
    assert page.evaluate(REFRESH) is True


@pytest.mark.parametrize("stays", [True, False])
def test_a_button_keeps_the_focus_with_its_line_and_gives_it_to_no_other(site: Site, stays: bool) -> None:
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches")
    line = "<form action='/{0}'><button>Retry {0}</button></form>"
    before, after = (
        [line.format(name) for name in ("one", "two")],
        [line.format(name) for name in ("new", "one", "two")],
    )
    lines = [text for text in after if stays or "two" not in text]
    page.evaluate(
        """([before, after]) => {
          const part = document.querySelector("[data-refresh]");
          part.innerHTML = before;
          part.querySelectorAll("button")[1].focus();
          keepFocus(part, () => { part.innerHTML = after; });
        }""",
        ["".join(before), "".join(lines)],
    )
    assert page.evaluate("document.activeElement.textContent.trim()").startswith("Retry two") is stays
    assert stays or page.evaluate("document.activeElement === document.body")


def test_a_lane_is_paused_from_its_own_page(site: Site) -> None:
    page = site.signed_in("support")
    page.goto(f"{site.url}/lanes/health_information")
    page.get_by_role("link", name="Pause…").click()
    page.locator("#lane-health_information").get_by_label("Why?").fill("wrong template")
    page.get_by_role("button", name="Pause Health-information forms").click()
    expect(page.get_by_role("status")).to_contain_text("Health-information forms is paused.")
    page.goto(f"{site.url}/lanes/health_information")
    expect(page.get_by_text("“wrong template”")).to_be_visible()
    expect(page.get_by_role("link", name="Pause…")).to_have_count(0)


def test_an_open_page_outlives_a_restart_of_every_server(
    chromium: Any,
    settings_env: Settings,
    cheap_passwords: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        LocalPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as postgres,
        LocalValkey(tmp_path / "valkey") as valkey,
        ExitStack() as stack,
    ):
        postgres.ensure_database("dispatchlog")
        migrate_up(postgres.url())
        monkeypatch.setenv("DATABASE_URL", postgres.url())
        monkeypatch.setenv("REDIS_URL", valkey.url())
        get_settings.cache_clear()
        forget_process_state()
        stack.callback(forget_process_state)
        configure(postgres.url(), role=settings_env.application_role, name="test")
        stack.callback(database.close_all)
        make_people()
        port = free_port()
        web = start_web(port)
        stack.callback(lambda: kill_web(web))
        page = Site(f"http://127.0.0.1:{port}", chromium).signed_in("viewer")
        stack.callback(page.context.close)
        page.evaluate("window.neverLoadedAnew = true")
        is_live(page)
        one_more_in_doubt(page, 1)

        valkey.stop()
        one_more_in_doubt(page, 2)
        valkey.start(same_port=True)
        one_more_in_doubt(page, 3)
        is_live(page)

        kill_web(web)
        is_not_reachable(page)
        with connected():
            form_in("IN_DOUBT", number="VO-4")
        web = start_web(port)
        shows_in_doubt(page, 4)
        web.terminate()  # as a new version is put in place
        assert web.wait(60) == 0
        web = start_web(port)
        is_live(page)
        one_more_in_doubt(page, 5)

        database.close_all()
        postgres.stop()
        is_not_reachable(page)
        kill_web(web)
        web = start_web(port)
        is_live(page, "off")  # what tells of changes is refused without PostgreSQL
        postgres.start(same_port=True)
        database.close_all()
        with connected():
            form_in("IN_DOUBT", number="VO-6")
        is_live(page)
        shows_in_doubt(page, 6)
        one_more_in_doubt(page, 7)
        expect(page.locator("[data-live-text]")).not_to_contain_text("Not reachable")
        assert page.evaluate("window.neverLoadedAnew") is True


def one_more_in_doubt(page: Page, number: int) -> None:
    with connected():
        form_in("IN_DOUBT", number=f"VO-{number}")
    expect(page.get_by_role("link", name=f"In doubt {number}")).to_be_visible()


def shows_in_doubt(page: Page, number: int) -> None:
    expect(page.get_by_role("link", name=f"In doubt {number}")).to_be_visible(timeout=AWAY_MS)


def is_not_reachable(page: Page) -> None:
    expect(page.locator("[data-live-text]")).to_have_text("Not reachable; trying again", timeout=AWAY_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_accessible_and_fit_a_telephone(site: Site, scheme: str) -> None:
    with connected():
        worker_alive()
        scheduler_alive()
        row = form_in("PENDING")
    page = site.signed_in("support", scheme=scheme)
    found: dict[str, list[str]] = {}
    for paused in (False, True):
        if paused:
            holds.hold(holds.Target("gateway", "smtp"), actor="bo@example.org", reason="maintenance " * 12)
            holds.hold(holds.Target("lane", "kit_registration"), actor="bo@example.org", reason="x" * 120)
            holds.release(
                holds.Target("lane", "kit_registration"), actor="a@example.org", reason="y" * 120, lanes=[], waker=None
            )
            with transaction("test"):
                execute(
                    "INSERT INTO dispatch_alerts (kind, subject, summary) VALUES ('in_doubt', 'x', %s)", ("z" * 200,)
                )
                execute(
                    "INSERT INTO dispatch_alerts (kind, summary, over_at) VALUES ('no_worker', %s, now())", ("w" * 200,)
                )
        for path in ("/pausing", "/alerts", "/", "/lanes/health_information", page_of(row)):
            page.goto(site.url + path)
            for details in page.locator("details.act").all():
                details.evaluate("element => { element.open = true }")
            for width in (1440, 390):
                page.set_viewport_size({"width": width, "height": 844})
                found[f"{path} {width} {paused}"] = violations(page)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_an_alert_comes_and_goes_on_the_open_overview(site: Site) -> None:
    page = site.signed_in("viewer")
    is_live(page)
    banner = page.get_by_role("region", name="Alerts")
    expect(banner).to_be_hidden()
    with transaction("test"):
        execute("INSERT INTO dispatch_alerts (kind, summary) VALUES ('no_worker', 'No worker is running.')")
    expect(banner).to_contain_text("No worker is running.")
    assert violations(page) == []
    with transaction("test"):
        execute("UPDATE dispatch_alerts SET over_at = now()")
    expect(banner).to_be_hidden()
