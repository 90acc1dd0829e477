"""Pausing and resuming over HTTP: the same rules, audit lines and refusals as on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatchlog.engine import holds
from dispatchlog.engine.holds import Target
from dispatchlog.engine.wakeup import flag, redis_client
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import Api, rows, running_api

FORMS = "health_information"


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def held() -> list[tuple[str, str, str]]:
    return [(str(each.target), each.reason, each.held_by) for each in holds.open_holds()]


def test_a_service_pauses_a_lane_and_lets_it_go_on(api: Api, settings_env: Settings) -> None:
    paused = api.call("PUT", f"/holds/{FORMS}", json={"reason": "wrong template, says ada@example.org"})
    assert paused.status_code == 200
    body = paused.get_json()
    assert (body["target"], body["changed"], body["hold"]["lanes"]) == (FORMS, True, [FORMS])
    assert body["hold"]["reason"] == "wrong template, says a•••@example.org"
    assert body["hold"]["heldBy"] == "service:vitract-orders"
    assert held() == [(FORMS, "wrong template, says ada@example.org", "service:vitract-orders")]
    assert not redis_client(settings_env.redis_url).exists(flag(FORMS))
    released = api.call("POST", f"/holds/{FORMS}/release", json={"reason": "mended"}).get_json()
    assert (released["changed"], released["hold"]) == (True, None)
    assert held() == []
    assert redis_client(settings_env.redis_url).exists(flag(FORMS))
    assert rows(
        "SELECT actor, action, lane, reason FROM operator_actions WHERE action IN ('pause', 'resume') ORDER BY id"
    ) == [
        ("service:vitract-orders", "pause", FORMS, "wrong template, says ada@example.org"),
        ("service:vitract-orders", "resume", FORMS, "mended"),
    ]


def test_what_is_held_is_listed_with_what_can_be(api: Api) -> None:
    holds.hold(Target("gateway", "smtp"), actor="bo@example.org", reason="maintenance")
    reader = create_token("reader", ["dispatches:read"], "tests")
    body = api.call("GET", "/holds", token=reader).get_json()
    [hold] = body["holds"]
    assert (hold["target"], hold["reason"]) == ("gateway:smtp", "maintenance")
    assert set(hold["lanes"]) == {lane.name for lane in registry.lanes() if lane.gateways_named("smtp")}
    assert {FORMS, "kit_registration", "gateway:smtp"} <= {*body["targets"]}
    assert api.error(api.call("PUT", f"/holds/{FORMS}", token=reader, json={"reason": "x"}))[1] == "FORBIDDEN_SCOPE"


def test_doing_it_twice_changes_nothing_more_and_a_hold_stays_whose_it_is(api: Api) -> None:
    holds.hold(Target("gateway", "smtp"), actor="bo@example.org", reason="maintenance")
    again = api.call("PUT", "/holds/gateway:smtp", json={"reason": "me too"}).get_json()
    assert (again["changed"], again["hold"]["heldBy"], again["hold"]["reason"]) == (
        False,
        "bo@example.org",
        "maintenance",
    )
    for changed in (True, False):
        assert api.call("POST", "/holds/gateway:smtp/release", json={"reason": "done"}).get_json()["changed"] is changed
    assert rows("SELECT count(*) FROM operator_actions WHERE actor = %s", "service:vitract-orders") == [(1,)]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", f"/holds/{FORMS}", {"reason": "  "}, (400, "REASON_REQUIRED", "reason")),
        ("PUT", f"/holds/{FORMS}", {}, (400, "MISSING_FIELD", "reason")),
        ("PUT", f"/holds/{FORMS}", {"reason": "x" * 501}, (400, "TOO_LONG", "reason")),
        ("PUT", f"/holds/{FORMS}", {"reason": "x", "why": "y"}, (400, "UNKNOWN_FIELD", "why")),
        ("PUT", "/holds/nobody", {"reason": "x"}, (404, "UNKNOWN_TARGET", "target")),
        ("PUT", "/holds/gateway:nobody", {"reason": "x"}, (404, "UNKNOWN_TARGET", "target")),
        ("POST", "/holds/gateway:/release", {"reason": "x"}, (404, "UNKNOWN_TARGET", "target")),
        ("POST", f"/holds/{FORMS}/release", {"reason": ""}, (400, "REASON_REQUIRED", "reason")),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    api: Api, method: str, path: str, body: dict[str, str], expected: tuple[int, str, str]
) -> None:
    assert api.error(api.call(method, path, json=body)) == expected
    assert held() == []
