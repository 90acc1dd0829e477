"""A lane with many endpoints on the pages: each row, list, incident, pause and alert knows which endpoint it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard import queries
from dashboard.explain import Circumstances, explain
from dashboard.filters import ListFilter
from dashboard.health import BrokerHealth
from dashboard.incident_queries import incidents
from dashboard.overview import MOST_ENDPOINTS, provider_lines
from dispatchlog import alerts
from dispatchlog.engine import operator, replay
from dispatchlog.engine.breaker import Breaker, BreakerState
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.holds import Target, hold, holds_on, open_holds
from dispatchlog.engine.lanes import narrowed
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.endpoints import routes
from dispatchlog.systems.hl7.visits import record_visit
from tests.dashboard.browsing import Dashboard
from tests.systems.hl7.visits import VISIT

SINCE = datetime(2020, 1, 1, tzinfo=UTC)
SETTINGS = {"enabled": True, "host": "127.0.0.1", "port": 9, "tls": False}


@pytest.fixture
def two(dash: Dashboard) -> Iterator[Dashboard]:
    for code in ("SCH-01", "SCH-02"):
        schools.add_school(code, f"School {code}", actor="test")
        schools.change_endpoint(code, SETTINGS, actor="test")
    yield dash
    routes.forget()


def message(school: str, *, student: str = "S-1") -> dict[str, Any]:
    """A waiting message of a new visit."""
    visit = replace(VISIT, id=new_id(), student=replace(VISIT.student, id=student))
    recorded = record_visit(school, visit, source="clinic")
    with connected():
        return dict(fetch_dicts("SELECT * FROM hl7_messages WHERE id = %s", (recorded.messages[0]["id"],))[0])


def failed(school: str, cause: str, **arguments: str) -> dict[str, Any]:
    row = message(school, **arguments)
    with transaction("test"):
        execute(
            "UPDATE hl7_messages SET status = 'FAILED', last_error_code = %s, last_error = 'no',"
            " updated_at = clock_timestamp() WHERE id = %s",
            (cause, row["id"]),
        )
        return dict(fetch_dicts("SELECT * FROM hl7_messages WHERE id = %s", (row["id"],))[0])


def why(row: dict[str, Any], *, circuit: str = "closed") -> str:
    lane = registry.lane("hl7").of(row)
    with connected():
        around = Circumstances(BreakerState(circuit), 60, True, held=holds_on(lane, open_holds()))
        return " ".join(holding.sentence for holding in explain(lane, row, around))


def test_a_waiting_message_says_that_its_endpoint_is_switched_off_or_unfinished(two: Dashboard) -> None:
    row = message("SCH-01")
    assert "one a second" not in why(row)
    schools.change_endpoint("SCH-01", {"enabled": False}, actor="test")
    assert "The school's endpoint is switched off." in why(row)
    assert "switched off" not in why(message("SCH-02"))


def test_a_waiting_message_names_the_breaker_and_the_pause_of_its_own_endpoint(two: Dashboard) -> None:
    row = message("SCH-01")
    assert "Calls to hl7:SCH-01 are paused" in why(row, circuit="open")
    hold(Target("gateway", "hl7:SCH-02"), actor="test", reason="maintenance")
    assert "maintenance" not in why(row)
    hold(Target("gateway", "hl7:SCH-01"), actor="test", reason="maintenance")
    assert "Everything that leaves through hl7:SCH-01 is paused" in why(row)


def test_a_waiting_message_points_at_the_earlier_one_that_holds_it(two: Dashboard) -> None:
    first = failed("SCH-01", "ACK_AE")
    same, other = message("SCH-01"), message("SCH-01", student="S-2")
    assert "It waits behind an earlier one of the same student, which failed." in why(same)
    assert "It waits behind" not in why(other)
    schools.change_endpoint("SCH-01", {"in_line": True}, actor="test")
    assert "It waits behind an earlier one of the same endpoint, which failed." in why(other)
    assert "It waits behind an earlier one of the same student, which failed." in why(same)
    lane = registry.lane("hl7").of(other)
    with connected():
        held = [each for each in explain(lane, other, Circumstances(BreakerState("closed"), 60, True)) if each.behind]
    assert [each.behind for each in held] == [first["id"]]


def test_an_earlier_message_that_is_due_holds_nobody_and_one_that_waits_for_its_next_try_does(two: Dashboard) -> None:
    first, second = message("SCH-01"), message("SCH-01")
    assert "It waits behind" not in why(second)
    for change, said in (
        ("due_at = now() + interval '1 hour'", "which is tried again first"),
        ("due_at = now(), rescues = 2", "which has to leave first."),
    ):
        with transaction("test"):
            execute(f"UPDATE hl7_messages SET {change} WHERE id = %s", (first["id"],))
        assert f"It waits behind an earlier one of the same student, {said}" in why(second)


def test_both_pages_of_a_message_say_the_same(two: Dashboard) -> None:
    first = failed("SCH-01", "ACK_AE")
    schools.change_endpoint("SCH-01", {"enabled": False}, actor="test")
    hold(Target("gateway", "hl7:SCH-01"), actor="test", reason="maintenance")
    row = message("SCH-01")
    admin = two.as_("admin")
    pages = [admin.get(path).text for path in (f"/dispatches/hl7/{row['id']}", f"/admin/hl7/{row['id']}")]
    for said in ("endpoint is switched off.", "Everything that leaves through hl7:SCH-01 is paused", "It waits behind"):
        assert all(said in page for page in pages), said
    assert f'href="/admin/hl7/{first["id"]}">Show message {first["control_id"]}</a>' in pages[1]


def test_the_page_of_a_message_shows_its_endpoint(two: Dashboard) -> None:
    row = message("SCH-02")
    text = two.as_("support").get(f"/dispatches/hl7/{row['id']}").text
    assert "hl7:SCH-02" in text
    assert "hl7:SCH-01" not in text


def test_the_list_shows_one_endpoint_alone(two: Dashboard) -> None:
    mine, theirs = message("SCH-01"), message("SCH-02")
    visitor = two.as_("support")
    text = visitor.get("/lanes/hl7?gateway=hl7:SCH-01").text
    assert str(mine["id"]) in text
    assert str(theirs["id"]) not in text
    assert 'value="hl7:SCH-02"' in text
    assert "is not known" in visitor.get("/lanes/hl7?gateway=hl7:SCH-09").text


def test_incidents_and_their_replay_are_of_one_endpoint(two: Dashboard) -> None:
    mine, theirs = failed("SCH-01", "ACK_AE"), failed("SCH-02", "ACK_AE", student="S-2")
    failed("SCH-02", "ACK_AE", student="S-3")
    with connected():
        found = {incident.gateway: str(incident.number) for incident in incidents(registry.lanes(), since=SINCE)}
    assert found == {"hl7:SCH-01": "1", "hl7:SCH-02": "2"}
    visitor = two.as_("support")
    text = visitor.get("/incidents").text
    assert text.count("hl7:SCH-01") > 0
    number = replay.start(
        registry.lanes(), gateway="hl7:SCH-01", cause="ACK_AE", since=SINCE, actor="test", reason="mended"
    )
    with connected():
        rows = fetch_all("SELECT dispatch_id FROM dispatch_replay_rows WHERE replay_id = %s", (number,))
    assert [row[0] for row in rows] == [mine["id"]]
    assert theirs["id"] != mine["id"]


def test_many_causes_of_many_endpoints_are_each_found_once(two: Dashboard) -> None:
    for cause in ("ACK_AE", "ACK_AR_202", "HTTP_400"):
        for school in ("SCH-01", "SCH-02"):
            failed(school, cause, student=f"S-{cause}")
    with connected():
        found = incidents(registry.lanes(), since=SINCE)
    assert sorted((incident.gateway, incident.cause) for incident in found) == [
        (f"hl7:{school}", cause) for school in ("SCH-01", "SCH-02") for cause in ("ACK_AE", "ACK_AR_202", "HTTP_400")
    ]


def test_the_overview_names_endpoints_in_trouble_first_and_no_more_than_a_few(two: Dashboard) -> None:
    for number in range(3, 13):
        schools.add_school(f"SCH-{number:02}", f"School {number}", actor="test")
    circuits = {f"hl7:SCH-{number:02}": BreakerState("open", 5.0) for number in range(1, 10)}
    circuits["hl7:SCH-12"] = BreakerState("probing")
    lines = provider_lines(registry.lanes(), BrokerHealth(answers=True, circuits=circuits))
    mine = [line.name for line in lines if line.titles == ["HL7 messages"]]
    assert mine[0] == "hl7:SCH-01"
    assert len(mine) == MOST_ENDPOINTS + 2
    assert mine[-2:] == ["4 more", "2 endpoints"]
    assert two.as_("viewer").get("/").status_code == 200


def test_an_endpoint_can_be_paused_by_its_name_where_they_are_many(two: Dashboard) -> None:
    for number in range(3, 25):
        schools.add_school(f"SCH-{number:02}", f"School {number}", actor="test")
    visitor = two.as_("admin")
    text = visitor.get("/pausing").text
    assert "hl7:SCH-07" not in text
    assert 'id="one-endpoint"' in text
    visitor.post("/pausing/pause", target="hl7:SCH-07", reason="maintenance")
    assert re.search(r"<h2>hl7:SCH-07</h2>", visitor.get("/pausing").text)


def test_a_breaker_of_each_endpoint_is_asked_for_at_once(two: Dashboard, settings_env: Settings) -> None:
    breaker = Breaker(settings_env.effective_redis_url)
    breaker.report("hl7:SCH-01", good=0, bad=30)
    assert {name: state.state for name, state in breaker.states(["hl7:SCH-01", "hl7:SCH-02"]).items()} == {
        "hl7:SCH-01": "open",
        "hl7:SCH-02": "closed",
    }


def credentials(settings: Settings) -> list[str]:
    with connected():
        seen = alerts.look(settings, registry.lanes(), {}, up_seconds=1000)
    assert alerts.CREDENTIALS in seen.kinds
    return [each.subject for each in seen.conditions if each.kind == alerts.CREDENTIALS]


def test_refused_credentials_are_an_alert_until_something_is_accepted(two: Dashboard, settings_env: Settings) -> None:
    assert credentials(settings_env) == []
    row = message("SCH-01")
    with transaction("test"):
        execute(
            "UPDATE hl7_messages SET last_error_code = %s, updated_at = clock_timestamp(),"
            " due_at = now() + interval '30 s' WHERE id = %s",
            (alerts.REFUSED_CREDENTIALS, row["id"]),
        )
    assert credentials(settings_env) == ["hl7:SCH-01"]
    with transaction("test"):
        operator.log_action("test", "hl7_endpoint_change", detail={"school": "SCH-01"})
    accepted = message("SCH-01", student="S-2")
    send(accepted)
    assert credentials(settings_env) == []


def send(row: dict[str, Any]) -> None:
    """As the engine records it."""
    with transaction("test"):
        execute(
            "UPDATE hl7_messages SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1,"
            " claimed_at = now() WHERE id = %s",
            (row["id"],),
        )
        execute(
            "UPDATE hl7_messages SET status = 'SENT', claim_token = NULL, claimed_by = NULL, claimed_at = NULL,"
            " sent_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = %s",
            (row["id"],),
        )


def test_a_list_of_one_endpoint_walks_its_own_index(two: Dashboard) -> None:
    with transaction("test"):
        school_id = fetch_one("SELECT id FROM schools WHERE code = 'SCH-01'")[0]
        execute(
            "INSERT INTO hl7_messages (id, route, school_id, message_type, control_id, body, student_number,"
            " student_name, ordering_key) SELECT gen_random_uuid(), CASE WHEN n %% 500 = 0 THEN 'SCH-02' ELSE 'SCH-01'"
            " END, %s, 'ORU^R01', 'C' || n, '', 'S-' || n, 'Somebody', 'SCH-01:S-' || n FROM generate_series(1, 20000) n",
            (school_id,),
        )
    with connected():
        execute("ANALYZE hl7_messages")
        lane = narrowed(registry.lane("hl7"), "hl7:SCH-02")
        assert lane is not None
        for wanted in (ListFilter(), ListFilter(states=("PENDING",)), ListFilter(sort="waiting")):
            for sql, values in (queries.list_query(wanted, [lane], limit=51), queries.count_query(wanted, [lane])):
                plan = str(fetch_all(f"EXPLAIN (FORMAT JSON) {sql}", values))
                assert "Seq Scan" not in plan
                assert "Rows Removed" not in plan
        begun = datetime.now(UTC)
        rows = queries.matching_rows(ListFilter(), [lane], limit=51)
        assert len(rows) == 40
        assert datetime.now(UTC) - begun < timedelta(seconds=1)
