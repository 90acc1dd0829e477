"""Messages sent by hand: without a worker, in order, whatever their age, and with a word for each that did not go."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_script import Answer, Rule
from dispatchlog.systems.hl7 import by_hand, schools
from dispatchlog.systems.hl7.visits import record_visit
from tests.systems.conftest import Desk, desk, mail_server
from tests.systems.hl7.test_recording import exchange
from tests.systems.hl7.visits import STUDENT, VISIT

__all__ = ["desk", "exchange", "mail_server"]  # fixtures


def put(student: str = "S-1") -> UUID:
    visit = replace(VISIT, id=new_id(), student=replace(STUDENT, id=student))
    return UUID(str(record_visit("SCH-01", visit, source="clinic").messages[0]["id"]))


def send(desk: Desk, ids: list[UUID]) -> dict[UUID, tuple[str, str]]:
    told = list(by_hand.send_now(ids, desk.runtime, actor="cli", reason="by hand"))
    assert len(told) == len({each.message_id for each in told})
    return {each.message_id: (each.status, each.why) for each in told}


def test_all_that_waits_goes_in_order_whatever_its_age_and_back_off(desk: Desk, exchange: Exchange) -> None:
    schools.change_endpoint("SCH-01", {"rate_per_second": 50, "batch": 2}, actor="test")
    ids = [put(f"S-{number % 3}") for number in range(5)]
    with transaction("test"):
        execute("UPDATE hl7_messages SET stale_at = now() - interval '1 hour' WHERE id = %s", (ids[0],))
        execute("UPDATE hl7_messages SET due_at = now() + interval '1 hour' WHERE id = %s", (ids[1],))
    assert by_hand.pending() == ids
    assert send(desk, ids) == dict.fromkeys(ids, ("SENT", ""))
    control_ids = [row["control_id"] for row in desk.rows("hl7")]
    assert [received.control_id for received in exchange.received] == control_ids
    assert by_hand.pending() == []


def test_what_is_tried_in_vain_is_told_with_its_code_and_what_it_holds_is_not_tried(
    desk: Desk, exchange: Exchange
) -> None:
    refusal, busy = Answer(code="AE", error="101", accept=False), Answer(code="AE", error="207", accept=False)
    exchange.script.set(rules=[Rule(refusal, patient="S-1"), Rule(busy, patient="S-2")])
    refused, busied, held, good = put("S-1"), put("S-2"), put("S-2"), put("S-3")
    told = send(desk, [refused, busied, held, good])
    assert told[refused] == ("FAILED", "ACK_AE_101")
    assert told[busied] == ("PENDING", "ACK_AE_207")
    assert told[held][0] == "PENDING"
    assert told[held][1].startswith("Not tried: ")
    assert told[good] == ("SENT", "")


@pytest.mark.parametrize("actual", [True, False])
def test_what_cannot_be_sent_says_why_and_changes_nothing(desk: Desk, exchange: Exchange, actual: bool) -> None:
    schools.change_endpoint("SCH-01", {"enabled": False}, actor="test")
    message = put() if actual else uuid4()
    ((status, why),) = send(desk, [message]).values()
    assert (status, why) == (
        ("PENDING", "The school's endpoint is switched off.") if actual else ("", "there is no such message")
    )
    assert exchange.counts()["received"] == 0
