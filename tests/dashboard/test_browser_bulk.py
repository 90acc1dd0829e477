"""Filters, selecting many, the preview, the run to its end and a file, in a real Chromium."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dispatchlog import bulk
from dispatchlog.engine.database import connected
from dispatchlog.settings import Settings
from tests.dashboard.crowds import crowd, failed_forms, how_many, set_all
from tests.dashboard.samples import form_in, worker_alive
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.engine.processes import until
from tests.test_bulk_stop import PROCESS, held_in_the_middle, somebody_waits_there

__all__ = ["chromium", "site"]  # fixtures

FORMS = "health_information"
NARROW = 390


@pytest.fixture
def carrying_out(site: Site) -> Iterator[None]:
    """What begins is carried out at once, as by a worker that the message wakes."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            bulk.go_on(stopping=stop.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def errors_of(page: Page) -> list[str]:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    return errors


def test_filters_are_set_shown_as_chips_and_taken_away(site: Site) -> None:
    with connected():
        form_in("FAILED", number="VO-1")
        form_in("IN_DOUBT", number="VO-2")
    page = site.signed_in("viewer")
    errors = errors_of(page)
    page.goto(f"{site.url}/dispatches")
    page.get_by_text("More filters").click()
    page.get_by_label("Cause").select_option("SMTP_550")
    page.get_by_label("Provider").select_option("smtp")
    page.get_by_role("button", name="Show").click()
    chips = page.get_by_role("list", name="Filters in force")
    expect(chips.get_by_role("link")).to_have_count(3)
    expect(page.get_by_role("link", name="VO-1", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="VO-2", exact=True)).to_have_count(0)
    expect(page.get_by_label("Cause")).not_to_be_visible()
    chips.get_by_role("link", name="Cause: SMTP_550").click()
    expect(page.get_by_role("link", name="VO-2", exact=True)).to_be_visible()
    expect(chips.get_by_role("link")).to_have_count(2)
    chips.get_by_role("link", name="Clear all").click()
    expect(chips).to_have_count(0)
    expect(page).to_have_url(f"{site.url}/dispatches")
    assert errors == []


def test_all_that_match_are_retried_to_the_end(site: Site, carrying_out: None) -> None:
    with connected():
        worker_alive()
        failed_forms(130)
        crowd(FORMS, 2, first=131)
        set_all(FORMS, "due_at = now() + interval '1 day'", "order_number IN ('VO-131', 'VO-132')")
    page = site.signed_in("support")
    errors = errors_of(page)
    here = f"{site.url}/lanes/health_information?status=FAILED&status=PENDING"
    page.goto(here)
    ticked = page.get_by_role("button", name="Act on ticked…")
    expect(ticked).to_be_disabled()
    page.get_by_label("Select VO-1, Health-information forms", exact=True).check()
    expect(page.get_by_role("button", name="Act on 1 ticked…")).to_be_enabled()
    page.get_by_label("This page").check()
    expect(page.get_by_role("button", name="Act on 50 ticked…")).to_be_enabled()
    page.get_by_role("button", name="Act on all 132 matching…").click()
    expect(page.get_by_role("heading", name="Retry 132 dispatches?")).to_be_visible()
    expect(page.get_by_role("heading", name="Safe: 130")).to_be_visible()
    expect(page.get_by_role("heading", name="Needs review: 2")).to_be_visible()
    begin = page.get_by_role("button", name="Retry 130", exact=True)
    expect(begin).to_be_visible()
    page.get_by_label("Waiting for their time").check()
    begin = page.get_by_role("button", name="Retry 132", exact=True)
    expect(begin).to_be_visible()
    page.get_by_role("combobox", name="Reason").fill("the mail server is back")
    page.get_by_label("Type how many, to confirm").fill("130")
    begin.click()
    expect(page.get_by_role("alert")).to_contain_text("Type 132 to confirm")
    expect(page.get_by_label("Waiting for their time")).to_be_checked()
    expect(page.get_by_role("combobox", name="Reason")).to_have_value("the mail server is back")
    page.get_by_label("Type how many, to confirm").fill("132")
    page.get_by_role("button", name="Retry 132", exact=True).click()
    expect(page.get_by_label("How far it is")).to_contain_text("132 of 132 retried")
    expect(page.get_by_label("How far it is").get_by_text("Done", exact=True)).to_be_visible()
    assert page.get_by_label("How many are done").evaluate("bar => bar.value") == 132
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as CSV").click()
    with Path(download.value.path()).open(encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == 132
    page.get_by_role("link", name="Back to the list").click()
    expect(page).to_have_url(here)
    assert [error for error in errors if "400" not in error] == []


def test_a_run_is_stopped_while_a_worker_has_some_in_hand(site: Site, settings_env: Settings) -> None:
    with connected():
        worker_alive()
        failed_forms(40)
    page = site.signed_in("support")
    errors = errors_of(page)
    page.goto(f"{site.url}/lanes/health_information?status=FAILED")
    page.get_by_role("button", name="Act on all 40 matching…").click()
    page.get_by_role("combobox", name="Reason").fill("the mail server is back")
    page.get_by_role("button", name="Retry 40", exact=True).click()
    expect(page.get_by_role("heading", name="Retry of 40 dispatches")).to_be_visible()
    run_id = page.url.partition("?")[0].rpartition("/")[2]
    far = page.get_by_label("How far it is")
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            for width in (1280, NARROW):
                page.set_viewport_size({"width": width, "height": 844})
                found[f"{name} {scheme} {width}"] = violations(page)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)

    with held_in_the_middle(settings_env, "VO-12"):
        worker = subprocess.Popen([sys.executable, "-c", PROCESS + "bulk.BATCH = 5; bulk.carry_out(run)", run_id])
        until(somebody_waits_there)
        page.get_by_text("Stop…").click()
        page.get_by_label("Why stop it?").fill("the wrong selection")
        expect(far).to_contain_text("10 of 40 retried")  # it keeps current while somebody writes
        look("about to stop")
        page.get_by_role("button", name="Stop this bulk action").click()
        expect(far).to_contain_text("5 are in a worker's hands at this moment")
        expect(page.get_by_text("Stop…")).not_to_be_visible()
        look("stopping")
    expect(far).to_contain_text("15 of 40 retried; 25 not touched.")
    expect(far.get_by_text("Stopped", exact=True).first).to_be_visible()
    expect(page.get_by_text("Not touched: stopped by support@example.org.").first).to_be_visible()
    look("stopped")
    worker.wait(timeout=120)
    assert how_many("health_information_dispatch_logs", "status = 'PENDING'") == 15
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert errors == []


def test_a_selection_outlives_the_lists_refreshing(site: Site) -> None:
    with connected():
        failed_forms(2)
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches")
    box = page.get_by_label("Select VO-1, Health-information forms", exact=True)
    box.check()
    with connected():
        failed_forms(1, first=3)
    assert page.evaluate("refresh(document.getElementById('live'))") is False
    expect(page.get_by_role("link", name="VO-3", exact=True)).to_have_count(0)
    expect(box).to_be_checked()
    box.uncheck()
    page.get_by_role("heading", level=1).click()
    expect(page.get_by_role("link", name="VO-3", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Act on ticked…")).to_be_disabled()


def test_without_scripts_all_that_match_are_cancelled(site: Site, carrying_out: None) -> None:
    with connected():
        worker_alive()
        failed_forms(101)
    page = site.signed_in("support", scripts=False)
    page.goto(f"{site.url}/dispatches?status=FAILED")
    expect(page.get_by_label("This page")).not_to_be_visible()
    page.get_by_label("What to do").select_option("cancel")
    page.get_by_role("button", name="Act on all 101 matching…").click()
    page.locator("main").get_by_label("Reason").fill("ordered twice")
    page.get_by_label("Type how many, to confirm").fill("101")
    page.get_by_role("button", name="Cancel 101").click()
    expect(page.get_by_role("heading", name="Cancel of 101 dispatches")).to_be_visible()
    far = page.get_by_label("How far it is")
    until(lambda: page.reload() and "101 of 101 cancelled" in far.inner_text(), what="every one is cancelled")
    assert how_many("health_information_dispatch_logs", "status = 'CANCELLED'") == 101


def test_without_scripts_ticked_ones_are_previewed(site: Site) -> None:
    with connected():
        failed_forms(3)
    page = site.signed_in("support", scripts=False)
    page.goto(f"{site.url}/dispatches?status=FAILED")
    page.get_by_label("Select VO-1, Health-information forms", exact=True).check()
    page.get_by_role("button", name="Act on ticked…").click()
    expect(page.get_by_role("heading", name="Retry 1 dispatch?")).to_be_visible()
    page.get_by_role("link", name="Go back, do nothing").click()
    expect(page).to_have_url(f"{site.url}/dispatches?status=FAILED")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_the_list_is_downloaded(site: Site, scripts: bool) -> None:
    with connected():
        failed_forms(60)
    page = site.signed_in("auditor", scripts=scripts)
    page.goto(f"{site.url}/dispatches?status=FAILED&cause=SMTP_550")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename.startswith("dispatches-")
    with Path(download.value.path()).open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["recipient"] for row in rows} == {"s•••@example.org"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_accessible_and_fit_a_telephone(site: Site, scheme: str) -> None:
    with connected():
        worker_alive()
        failed_forms(105)
        for state in ("PENDING", "IN_DOUBT", "SENT"):
            form_in(state, number=f"VO-{state}")
    page = site.signed_in("admin", scheme=scheme)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        for width in (1280, NARROW):
            page.set_viewport_size({"width": width, "height": 844})
            found[f"{name} {width}"] = violations(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            for card in page.locator(".table-card").all():  # nothing of a row is cut off
                assert card.evaluate("card => card.scrollWidth - card.clientWidth") <= 0, (name, width)
        page.set_viewport_size({"width": 1280, "height": 844})

    page.goto(f"{site.url}/bulk")
    look("no runs")
    page.goto(f"{site.url}/lanes/health_information?status=FAILED&status=PENDING&status=IN_DOUBT&age=15m&sort=changed")
    look("nothing matches")
    page.goto(f"{site.url}/lanes/health_information?sort=waiting&cause=SMTP_550&status=FAILED")
    page.locator(".more-filters").evaluate("element => { element.open = true }")
    page.get_by_label("This page").check()
    look("list")
    page.goto(f"{site.url}/dispatches?sort=left")
    look("time left")
    page.goto(f"{site.url}/lanes/health_information")
    page.get_by_role("button", name="Act on all 108 matching…").click()
    expect(page.get_by_label("Type how many, to confirm")).to_be_visible()
    look("preview")
    page.get_by_role("combobox", name="Reason").fill("the mail server is back")
    page.get_by_label("Type how many, to confirm").fill("1")
    page.get_by_role("button", name="Retry 105", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("wrong number")
    page.get_by_label("Type how many, to confirm").fill("105")
    page.get_by_role("button", name="Retry 105", exact=True).click()
    expect(page.get_by_label("How far it is")).to_be_visible()
    look("running")
    with connected():
        bulk.go_on()
    page.reload()
    look("done")
    page.goto(f"{site.url}/bulk")
    look("runs")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
