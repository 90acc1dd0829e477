"""Pharmacies: an administrator lists, adds and changes them; what is wrong is said at its field and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchlog.engine.database import connected, fetch_dicts
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.order_samples import pharmacy

LIST = "/pharmacies"
GOOD: dict[str, Any] = {
    "code": "PH-09",
    "name": "Garden Pharmacy",
    "phone": "+23412700009",
    "email": "desk@garden.example",
    "address": "9 Garden Road",
    "city": "Lagos",
    "latitude": "6.4541",
    "longitude": "3.3947",
}


@pytest.fixture
def admin(dash: Dashboard) -> Visitor:
    visitor = dash.as_("admin")
    visitor.get(LIST)
    return visitor


def stored() -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM pharmacies ORDER BY code")


def test_a_pharmacy_is_added_changed_and_listed(admin: Visitor) -> None:
    assert "No pharmacy yet" in admin.get(LIST).text
    text = admin.post(LIST, **GOOD, follow=True).text
    assert "Garden Pharmacy is added." in text
    assert 'href="/pharmacies/PH-09"' in text
    assert (
        "Garden Pharmacy is changed."
        in admin.post(
            f"{LIST}/PH-09", **{**GOOD, "code": "OTHER", "phone": "+23412700010", "email": ""}, follow=True
        ).text
    )
    (row,) = stored()
    assert (row["code"], row["phone"], row["email"], row["latitude"]) == ("PH-09", "+23412700010", None, 6.4541)
    with connected():
        deeds = fetch_dicts("SELECT action, detail FROM operator_actions WHERE action LIKE 'pharmacy%%' ORDER BY id")
    assert [deed["action"] for deed in deeds][:2] == ["pharmacy_add", "pharmacy_change"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("phone", "ring twice"),
        ("email", "nobody"),
        ("latitude", "north"),
        ("latitude", "91"),
        ("longitude", "nan"),
        ("code", "has blank"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(admin: Visitor, field: str, value: str) -> None:
    answer = admin.post(LIST, **{**GOOD, field: value})
    assert answer.status_code == 400
    assert "Nothing was saved" in answer.text
    assert f'<p class="fault" id="{field}-words">' in answer.text
    assert 'value="9 Garden Road"' in answer.text
    assert stored() == []


def test_a_code_that_is_taken_is_not_written_over(admin: Visitor) -> None:
    pharmacy("PH-09", "Old Pharmacy")
    answer = admin.post(LIST, **GOOD)
    assert (answer.status_code, "There is a pharmacy of this code already." in answer.text) == (400, True)
    assert stored()[0]["name"] == "Old Pharmacy"
    assert admin.get(f"{LIST}/NONE").status_code == 404


def test_pharmacies_are_found_by_part_of_their_name(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.pharmacy_queries.PAGE_ROWS", 2)
    monkeypatch.setattr("dashboard.pharmacies.PAGE_ROWS", 2)
    for number in range(3):
        pharmacy(f"PH-{number}", f"Shop {number}")
    first = admin.get(LIST).text
    assert "Shop 1" in first
    assert "Shop 2" not in first
    assert "Shop 2" in admin.get(f"{LIST}?after=PH-1").text
    found = admin.get(f"{LIST}?q=hop+2").text
    assert "Shop 2" in found
    assert "Shop 1" not in found
    assert "No pharmacy" in admin.get(f"{LIST}?q=100%").text
