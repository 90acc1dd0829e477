"""A visit and its message are stored together, once, and leave by the school's endpoint as they were stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_servers import MllpSide
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.endpoints import routes
from dispatchlog.systems.hl7.visits import record_visit
from tests.systems.conftest import Desk, desk, mail_server
from tests.systems.hl7.visits import VISIT

__all__ = ["desk", "mail_server"]  # fixtures


@pytest.fixture
def exchange(desk: Desk) -> Iterator[Exchange]:
    """A school whose endpoint is a test exchange that takes all."""
    taking = Exchange()
    side = MllpSide(taking)
    schools.add_school("SCH-01", "First school", actor="test")
    settings = {"enabled": True, "host": "127.0.0.1", "port": side.port, "tls": False, "rate_per_second": None}
    schools.change_endpoint("SCH-01", settings, actor="test")
    yield taking
    for route in routes().values():
        route.gateway.close()
    side.close()
    taking.close()


def test_a_visit_leaves_as_it_was_stored(desk: Desk, exchange: Exchange) -> None:
    recorded = record_visit("SCH-01", VISIT, source="clinic")
    assert recorded.created
    assert [message["status"] for message in recorded.messages] == ["PENDING"]
    desk.drain("hl7")
    (row,) = desk.rows("hl7")
    assert (row["status"], row["provider"], row["message_type"]) == ("SENT", "hl7:SCH-01", "ORU^R01")
    (received,) = exchange.received
    assert (received.body, received.control_id) == (bytes(row["body"]), row["control_id"])  # type: ignore[call-overload]


def test_the_same_report_again_changes_nothing(desk: Desk, exchange: Exchange) -> None:
    first = record_visit("SCH-01", VISIT, source="clinic")
    again = record_visit("SCH-01", VISIT, source="clinic")
    assert not again.created
    assert again.messages == first.messages
    with pytest.raises(VisitError) as refused:
        record_visit("SCH-01", replace(VISIT, notes="something else"), source="clinic")
    assert refused.value.code == "VISIT_EXISTS"
    assert len(desk.rows("hl7")) == 1


def test_a_visit_that_cannot_be_taken_leaves_nothing(desk: Desk, exchange: Exchange) -> None:
    with pytest.raises(VisitError) as refused:
        record_visit("SCH-99", VISIT, source="clinic")
    assert (refused.value.code, refused.value.field) == ("UNKNOWN_SCHOOL", "schoolId")
    with pytest.raises(VisitError):
        record_visit("SCH-01", replace(VISIT, student=replace(VISIT.student, sex="X")), source="clinic")
    with connected():
        assert fetch_all("SELECT count(*) FROM visits") == [(0,)]
    assert desk.rows("hl7") == []


def test_a_school_that_is_switched_off_keeps_its_messages_waiting(desk: Desk, exchange: Exchange) -> None:
    schools.change_endpoint("SCH-01", {"enabled": False}, actor="test")
    record_visit("SCH-01", replace(VISIT, id=new_id()), source="clinic")
    desk.drain("hl7")
    (row,) = desk.rows("hl7")
    assert (row["status"], row["claims"]) == ("PENDING", 0)
    schools.change_endpoint("SCH-01", {"enabled": True}, actor="test")
    desk.drain("hl7")
    assert desk.rows("hl7")[0]["status"] == "SENT"


def test_an_api_key_is_sealed_and_nowhere_in_the_record_of_changes(desk: Desk, exchange: Exchange) -> None:
    schools.change_endpoint("SCH-01", {"api_key": "sesame-opens"}, actor="test")
    with connected():
        (stored,) = fetch_all("SELECT api_key_sealed FROM hl7_endpoints")
        assert b"sesame" not in bytes(stored[0])
        assert fetch_all("SELECT count(*) FROM operator_actions WHERE detail::text LIKE '%%sesame%%'") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"port": 70_000}, "INVALID_SETTING", "port"),
        ({"transport": "FTP"}, "INVALID_SETTING", "transport"),
        ({"host": ""}, "INVALID_SETTING", "host"),
        ({"messages": {"UPDATE": "ADT^A99"}}, "INVALID_SETTING", "messages"),
        ({"colour": "red"}, "UNKNOWN_SETTING", "colour"),
        ({"rate_per_second": 0}, "INVALID_SETTING", "rate_per_second"),
    ],
)
def test_settings_that_cannot_work_change_nothing(
    desk: Desk, exchange: Exchange, changes: dict[str, object], code: str, field: str
) -> None:
    with pytest.raises(schools.SchoolError) as refused:
        schools.change_endpoint("SCH-01", changes, actor="test")
    assert (refused.value.code, refused.value.field) == (code, field)
    with connected():
        assert fetch_all("SELECT version FROM hl7_endpoints") == [(2,)]


def test_a_change_of_the_same_version_is_seen_too(desk: Desk, exchange: Exchange) -> None:
    before = routes()["SCH-01"]
    with transaction("test"):
        execute("UPDATE hl7_endpoints SET port = port - 1, updated_at = clock_timestamp()")
    routes.forget()
    after = routes()["SCH-01"]
    assert after.gateway is not before.gateway
    routes.forget()
    assert routes()["SCH-01"] is after
