"""Asking brings what a courier tells only when asked and what its webhooks left out, and says where the two differ."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from dispatchlog.alerts import COURIER_APART, DELIVERED_BEFORE, look
from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.engine.errors import OutcomeUnknown, Permanent, Transient
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import events, polling
from dispatchlog.systems.courier.states import DispatchStatus
from tests.systems.courier_events.samples import (
    COURIER,
    Made,
    SomeCourier,
    dispatch,
    next_attempt,
    order,
    orders,
    report,
    state,
)


def ask_again(made: Made) -> int:
    with connected():
        execute("UPDATE courier_dispatches SET poll_at = now() WHERE id = %s", (made.dispatch,))
    return polling.poll_due()


def stored(made: Made) -> list[dict[str, object]]:
    with connected():
        return fetch_dicts("SELECT * FROM courier_events WHERE courier_reference = %s ORDER BY id", (made.reference,))


def alerts(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    with connected():
        seen = look(settings, registry.lanes(), {}, up_seconds=0.0)
    kinds = (COURIER_APART, DELIVERED_BEFORE)
    assert set(kinds) <= seen.kinds
    return {kind: [(each.subject, each.summary) for each in seen.conditions if each.kind == kind] for kind in kinds}


def test_asking_brings_a_missed_webhook_and_the_event_says_so(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    events.store_reports(COURIER, "webhook", [report(made, "1", "ASSIGNED")], trace_id="t")
    events.apply_open()
    courier.answers[made.reference] = report(made, "asked", "PICKED_UP")
    assert polling.poll_due() == 1
    assert (state(made)["status"], dispatch(made)["polls_apart"]) == ("PICKED_UP", 0)
    webhook, found = stored(made)
    assert (found["source"], found["effect"], found["trace_id"]) == ("poll", "MOVED", f"trace-{made.order}")
    assert events.unannounced([webhook, found]) == {found["id"]}
    events.store_reports(COURIER, "webhook", [report(made, "2", "PICKED_UP")], trace_id="t")
    events.apply_open()
    assert events.unannounced(stored(made)) == frozenset()


def test_of_a_courier_that_tells_nothing_no_webhook_is_missed(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    courier.tells = False
    courier.answers[made.reference] = report(made, "asked", "ASSIGNED")
    assert polling.poll_due() == 1
    assert state(made)["status"] == "ASSIGNED"
    assert events.unannounced(stored(made)) == frozenset()


def test_nobody_is_asked_before_the_time_or_twice_at_once_or_after_the_end(courier: SomeCourier) -> None:
    made = orders(12, poll_due=True)
    later = order()
    for each in made:
        courier.answers[each.reference] = report(each, "asked", "DELIVERED")
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: polling.poll_due(limit=5), range(8))) == 12
    assert sorted(courier.asked) == sorted(each.reference for each in made)
    assert {dispatch(each)["status"] for each in made} == {"DELIVERED"}
    assert {dispatch(each)["poll_at"] for each in made} == {None}
    assert later.reference not in courier.asked


@pytest.mark.parametrize("error", [Transient("busy"), OutcomeUnknown("silence")])
def test_what_could_not_be_learnt_is_asked_again_later_and_changes_nothing(
    courier: SomeCourier, error: Transient | OutcomeUnknown
) -> None:
    made, other = order(poll_due=True), order(poll_due=True)
    courier.answers |= {made.reference: error, other.reference: report(other, "asked", "ASSIGNED")}
    with capture_logs() as logs:
        assert polling.poll_due() == 2
    assert (state(made)["status"], state(other)["status"]) == ("BOOKED", "ASSIGNED")
    assert dispatch(made)["poll_at"] > dispatch(made)["polled_at"]
    assert dispatch(made)["polls_apart"] == 0
    assert [line["code"] for line in logs if line["event"] == "COURIER_NOT_ASKED"] == [error.code]


def test_an_answer_that_stays_behind_the_webhooks_is_a_disagreement_until_they_agree(
    courier: SomeCourier, events_database: Settings
) -> None:
    made = order(poll_due=True)
    events.store_reports(COURIER, "webhook", [report(made, "1", "PICKED_UP")], trace_id="t")
    events.apply_open()
    courier.answers[made.reference] = report(made, "asked", "ASSIGNED")
    polling.poll_due()
    assert (dispatch(made)["polls_apart"], dispatch(made)["disagreement"]) == (1, None)
    assert alerts(events_database)[COURIER_APART] == []
    with capture_logs() as logs:
        ask_again(made)
        ask_again(made)
    assert "PICKED_UP" in dispatch(made)["disagreement"]
    assert "ASSIGNED" in dispatch(made)["disagreement"]
    assert [line["trace_id"] for line in logs if line["event"] == "COURIER_DISAGREES"] == [f"trace-{made.order}"]
    ((subject, words),) = alerts(events_database)[COURIER_APART]
    assert subject == COURIER
    assert f"N-{made.order}" in words
    assert state(made)["status"] == "PICKED_UP"
    courier.answers[made.reference] = report(made, "asked later", "IN_TRANSIT")
    ask_again(made)
    assert (dispatch(made)["polls_apart"], dispatch(made)["disagreement"]) == (0, None)
    assert alerts(events_database)[COURIER_APART] == []


def test_a_delivery_that_only_a_webhook_told_is_asked_about_until_both_agree(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    events.store_reports(COURIER, "webhook", [report(made, "1", "DELIVERED")], trace_id="t")
    events.apply_open()
    courier.answers[made.reference] = report(made, "asked", "IN_TRANSIT")
    polling.poll_due()
    ask_again(made)
    assert "DELIVERED" in dispatch(made)["disagreement"]
    assert dispatch(made)["poll_at"] is not None
    courier.answers[made.reference] = report(made, "asked later", "DELIVERED")
    ask_again(made)
    assert (dispatch(made)["disagreement"], dispatch(made)["poll_at"]) == (None, None)


def test_a_job_that_the_courier_does_not_know_is_a_disagreement(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    courier.answers[made.reference] = Permanent("what job?", code="JOB_UNKNOWN")
    polling.poll_due()
    ask_again(made)
    assert "does not know" in dispatch(made)["disagreement"]


def test_what_a_person_set_back_stays_and_the_couriers_old_answer_is_a_disagreement(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    courier.answers[made.reference] = report(made, "asked", "PICKED_UP")
    polling.poll_due()
    events.set_by_hand(made.dispatch, DispatchStatus.ASSIGNED, actor="root@example.org", reason="the parcel is here")
    ask_again(made)
    ask_again(made)
    assert state(made)["status"] == "ASSIGNED"
    assert "PICKED_UP" in dispatch(made)["disagreement"]


def test_a_delivery_of_an_attempt_that_was_given_up_is_an_alert_of_its_own(
    courier: SomeCourier, events_database: Settings
) -> None:
    first = order(status="CANCELED")
    next_attempt(first)
    events.store_reports(COURIER, "webhook", [report(first, "1", "DELIVERED")], trace_id="t")
    events.apply_open()
    ((subject, words),) = alerts(events_database)[DELIVERED_BEFORE]
    assert subject == f"N-{first.order}"
    assert "attempt 1 was delivered" in words
    assert alerts(events_database)[COURIER_APART] == []


def test_a_dispatch_whose_courier_is_not_configured_any_more_is_put_off(courier: SomeCourier) -> None:
    made = order(poll_due=True)
    courier.answers[made.reference] = replace(report(made, "asked", "ASSIGNED"), courier_reference=made.reference)
    with connected():
        execute("UPDATE courier_dispatches SET courier = 'gone' WHERE id = %s", (made.dispatch,))
    assert polling.poll_due() == 0
    assert dispatch(made)["poll_at"] > dispatch(made)["polled_at"]
    assert courier.asked == []
