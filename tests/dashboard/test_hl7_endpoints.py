"""The pages of schools and their endpoints: adding, changing, refusing, trying; and in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from dashboard import hl7_endpoint_queries
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.operator import log_action
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_servers import MllpSide
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.endpoints import SELECT, endpoint_of
from dispatchlog.systems.hl7.school_settings import write
from dispatchlog.systems.hl7.schools import SETTINGS
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.test_browser import Site, chromium, site, violations

__all__ = ["chromium", "site"]  # fixtures

PATH = "/admin/hl7/endpoints"


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    schools.add_school("SCH-01", "First school", actor="test")
    visitor = dash.as_("admin")
    visitor.get(PATH)
    return visitor


@pytest.fixture
def side() -> Iterator[MllpSide]:
    found = MllpSide(Exchange())
    yield found
    found.close()


def stored(code: str = "SCH-01") -> dict[str, object]:
    with connected():
        return dict(fetch_dicts(f"{SELECT} WHERE s.code = %s", (code,))[0])


def form(**changes: str) -> dict[str, str]:
    """What the page's form sends if only these fields are touched."""
    row = stored()
    sent = {name: write(name, row[name]) for name in SETTINGS if name != "messages"}
    sent = {name: text for name, text in sent.items() if text != "off" or name not in ("tls", "enabled", "in_line")}
    sent |= {"version": str(row["version"]), "reason": "as the exchange wrote", **changes}
    return {name: text for name, text in sent.items() if text != "(untouched)"}


def test_a_school_is_added_once_and_bad_codes_are_refused_at_the_field(admin: Visitor) -> None:
    answer = admin.post(PATH, code="SCH-02", name="Second school")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PATH}/SCH-02")
    again = admin.post(PATH, code="SCH-02", name="Another")
    assert again.status_code == 400
    assert "There is a school SCH-02 already." in again.text
    wrong = admin.post(PATH, code="Ä/1", name="Third")
    assert wrong.status_code == 400
    assert 'id="code"' in wrong.text
    assert re.search(r'id="code"[^>]*aria-invalid="true"', wrong.text)
    assert [school.code for school in schools.schools()] == ["SCH-01", "SCH-02"]


def test_saving_stores_what_differs_with_its_reason(admin: Visitor) -> None:
    sent = form(host="mllp.example.org", acknowledgements="AE:207 FAILED", **{"messages.UPDATE": "ADT^A04"})
    assert admin.post(f"{PATH}/SCH-01", **sent).status_code == 303
    row = stored()
    assert (row["host"], row["version"]) == ("mllp.example.org", 2)
    assert (row["acknowledgements"], row["messages"]) == ({"AE:207": "FAILED"}, {"UPDATE": "ADT^A04"})
    assert (row["tls"], row["enabled"], row["dedupes"]) == (True, False, True)
    with connected():
        actor, reason, settings = fetch_one(
            "SELECT actor, reason, detail ->> 'settings' FROM operator_actions WHERE action = 'hl7_endpoint_change'"
        )
    assert (actor, reason) == ("admin@example.org", "as the exchange wrote")
    assert settings == '["acknowledgements", "host", "messages"]'


def test_saving_the_same_again_changes_nothing(admin: Visitor) -> None:
    assert admin.post(f"{PATH}/SCH-01", **form()).status_code == 303
    assert stored()["version"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"port": "70000"}, "port"),
        ({"rate_per_second": "nan"}, "rate_per_second"),
        ({"acknowledgements": "XX RETRY"}, "acknowledgements"),
        ({"sending_application": ""}, "sending_application"),
        ({"enabled": "on"}, "host"),
        ({"ca_pem": "hello"}, "ca_pem"),
        ({"client_certificate_pem": "-----BEGIN X", "enabled": "on", "host": "h"}, "client_key_pem"),
        ({"host": "mllp.example.org", "reason": " "}, "reason"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_saved(
    admin: Visitor, changes: dict[str, str], field: str
) -> None:
    before = stored()
    answer = admin.post(f"{PATH}/SCH-01", **form(**changes))
    assert answer.status_code == 400
    assert f'id="{field}-error"' in answer.text
    assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', answer.text)
    assert stored() == before


def test_what_somebody_changed_meanwhile_is_not_overwritten(admin: Visitor) -> None:
    sent = form(host="mine.example.org")
    schools.change_endpoint("SCH-01", {"host": "theirs.example.org"}, actor="other@example.org")
    answer = admin.post(f"{PATH}/SCH-01", **sent)
    assert answer.status_code == 409
    assert "other@example.org has changed it in the meantime" in answer.text
    assert "mine.example.org" in answer.text
    assert stored()["host"] == "theirs.example.org"


def test_a_key_is_kept_replaced_and_removed_but_never_shown(admin: Visitor) -> None:
    answer = admin.post(f"{PATH}/SCH-01", **form(transport="HTTPS", url="https://h/x", api_key="first-key"))
    assert answer.status_code == 303
    text = admin.get(f"{PATH}/SCH-01").text
    assert "first-key" not in text
    assert "(set)" in text
    assert admin.post(f"{PATH}/SCH-01", **form(batch="5")).status_code == 303
    assert endpoint_of(stored()).api_key == "first-key"
    refused = admin.post(f"{PATH}/SCH-01", **form(api_key="second-key", port="0"))
    assert "second-key" not in refused.text
    assert admin.post(f"{PATH}/SCH-01", **form(api_key="second-key")).status_code == 303
    assert endpoint_of(stored()).api_key == "second-key"
    assert admin.post(f"{PATH}/SCH-01", **form(**{"api_key.remove": "on"})).status_code == 303
    assert stored()["api_key_sealed"] is None
    with connected():
        logged = " ".join(text for (text,) in fetch_all("SELECT detail::text FROM operator_actions"))
    assert "first-key" not in logged
    assert "second-key" not in logged


def test_trying_shows_each_step_and_the_answer(admin: Visitor, side: MllpSide) -> None:
    schools.change_endpoint("SCH-01", {"host": "127.0.0.1", "port": side.port, "tls": False}, actor="test")
    text = admin.post(f"{PATH}/SCH-01/test", message="on").text
    assert "It works." in text
    assert "MSA|AA|" in text
    assert "TEST-ENDPOINT" in text
    side.close()
    text = admin.post(f"{PATH}/SCH-01/test").text
    assert "nothing listens there" in text
    with connected():
        assert fetch_one("SELECT count(*) FROM operator_actions WHERE action = 'hl7_endpoint_test'")[0] == 2


def test_an_unfinished_endpoint_is_not_tried(admin: Visitor) -> None:
    answer = admin.post(f"{PATH}/SCH-01/test")
    assert answer.status_code == 400
    assert "The host must be a plain name or address. Nothing was tried." in answer.text


def test_unknown_schools_are_not_found(admin: Visitor) -> None:
    for answer in (admin.get(f"{PATH}/SCH-99"), admin.post(f"{PATH}/SCH-99"), admin.get(f"{PATH}/a%00b")):
        assert answer.status_code == 404


def test_schools_follow_each_other_without_gaps_and_are_found(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2, 6):
        schools.add_school(f"SCH-0{number}", f"School {number}", actor="test")
    monkeypatch.setattr(hl7_endpoint_queries, "PAGE_ROWS", 2)
    monkeypatch.setattr("dashboard.hl7_endpoints.PAGE_ROWS", 2)
    path, seen = PATH, []
    while path:
        text = admin.get(path).text
        seen += re.findall(r'class="row-link"[^>]*>([^<]+)<', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"SCH-0{number}" for number in range(1, 6)]
    assert re.findall(r'class="row-link"[^>]*>([^<]+)<', admin.get(f"{PATH}?q=school+3").text) == ["SCH-03"]


def test_an_administrator_adds_a_school_sets_tries_and_switches_it_on(site: Site, side: MllpSide) -> None:
    page = site.signed_in("admin")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Schools").click()
    expect(page.get_by_role("heading", name="No school yet")).to_be_visible()
    page.get_by_label("Code").fill("SCH-01")
    page.get_by_label("Name").fill("First school")
    page.get_by_role("button", name="Add a school").click()
    expect(page.get_by_role("heading", name="First school")).to_be_visible()
    page.get_by_label("Host", exact=True).fill("127.0.0.1")
    page.get_by_label("Port", exact=True).fill(str(side.port))
    page.get_by_label("MLLP over TLS").uncheck()
    page.locator("#why").fill("as the exchange wrote")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    expect(page.get_by_label("Host", exact=True)).to_have_value("127.0.0.1")
    page.get_by_label("Send a test message too").check()
    page.get_by_role("button", name="Try the endpoint").click()
    expect(page.get_by_text("It works.")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert violations(page) == [], (scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_label("Messages leave by this endpoint").check()
    page.locator("#why").fill("it works")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    expect(page.get_by_label("Messages leave by this endpoint")).to_be_checked()
    page.get_by_role("link", name="Schools", exact=True).last.click()
    expect(page.get_by_role("row", name=re.compile("SCH-01.*On"))).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert violations(page) == [], (scheme, width)
    assert errors == []


def history(text: str) -> str:
    """What the history says, in words."""
    section = text.partition('id="history"')[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", section).split())


def test_the_history_says_who_changed_what_from_what_to_what_and_of_secrets_that_they_changed(admin: Visitor) -> None:
    admin.get(f"{PATH}/SCH-01")
    secret = "the-key-of-the-exchange"
    changes = {
        "host": "mllp.example.org",
        "max_retries": "7",
        "transport": "HTTPS",
        "url": "https://exchange.example.org/",
    }
    assert admin.post(f"{PATH}/SCH-01", **form(**changes, api_key=secret)).status_code == 303
    told = history(admin.get(f"{PATH}/SCH-01").text)
    for said in (
        "Version 2 admin@example.org",
        "“as the exchange wrote”",
        "Host from empty to mllp.example.org",
        "Retries from 5 to 7",
        "Transport from MLLP over TCP to HTTPS",
        "API key changed",
        "Added, switched off",
    ):
        assert said in told
    assert "Port" not in told
    assert told.index("Version 2") < told.index("Added, switched off")
    with connected():
        details = str(fetch_all("SELECT detail FROM operator_actions"))
    assert secret not in details + told
    assert "mllp.example.org" not in admin.get("/audit").text


def test_the_history_is_of_this_school_alone_and_older_changes_are_a_page_away(admin: Visitor) -> None:
    schools.add_school("SCH-02", "Second school", actor="test")
    for number in range(12):
        schools.change_endpoint("SCH-01", {"port": 3000 + number}, actor="test", reason=f"reason {number}.")
    assert "reason" not in history(admin.get(f"{PATH}/SCH-02").text)
    text = admin.get(f"{PATH}/SCH-01").text
    shown = re.findall(r"reason (\d+)\.", history(text))
    [older] = re.findall(r'href="([^"]+)#history" rel="next"', text)
    rest = history(admin.get(older).text)
    assert (shown, re.findall(r"reason (\d+)\.", rest)) == ([str(n) for n in range(11, 1, -1)], ["1", "0"])
    assert "Port from 2575 to 3000" in rest
    assert admin.get(f"{PATH}/SCH-01?before=nonsense").status_code == 200


def test_a_change_from_before_values_were_kept_is_shown_by_its_settings(admin: Visitor) -> None:
    log_action("ada@example.org", "hl7_endpoint_change", detail={"school": "SCH-01", "settings": ["host", "tls"]})
    told = history(admin.get(f"{PATH}/SCH-01").text)
    assert "Host changed MLLP over TLS changed" in told
