"""Whatever the provider or the network does to one send: accepted once, sent in the end, or visibly in doubt.

One dispatch per fault, all at once, through the product's gateways to a provider in a process of its own. Its ledger, and
how often the proxy saw each dispatch come by, say what became of them.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lookup import look_up
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.scenarios.faults.proxy import ASKED_IN_TIME, ASKED_IN_VAIN, FAULTS
from tests.scenarios.faults.stage import PATIENCE_SECONDS, Ending, Found, Stage

IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
# A worker asks one question after the other, and several of them are never answered.
ASKING_SECONDS = 1.5

# What the sender can know of each fault, and the code under which it says so.
ACCEPTED = dict.fromkeys(("good", "latency", "drip_in_time"))
HTTP_LOST_WITH_IT = {
    "reset_after": "CONNECTION_LOST",
    "lost_reply": "CONNECTION_LOST",
    "truncated": "CONNECTION_LOST",
    "garbage": "MALFORMED_REPLY",
    "slow_drip": "TIMEOUT",
    "hang_after": "TIMEOUT",
    "arrives_late": "TIMEOUT",
    "http_502": "HTTP_502",
    "http_504": "HTTP_504",
}
HTTP_LOST_WITHOUT_IT = {
    "reset_before": "CONNECTION_LOST",
    "closed_before": "CONNECTION_LOST",
    "half_request": "CONNECTION_LOST",
    "hang_before": "TIMEOUT",
    "http_500": "HTTP_500",
    "http_409": "HTTP_409",
}
HTTP_NOT_NOW = {
    "good-refused": "CONNECT_FAILED",
    "busy_429": "HTTP_429",
    "busy_503": "HTTP_503",
    "http_408": "HTTP_408",
    "http_401": "UNAUTHORISED",
}
HTTP_NEVER = {"http_422": "HTTP_422"}
SMTP_LOST_WITH_IT = {
    "reset_after": "SMTP_LOST_REPLY",
    "lost_reply": "SMTP_LOST_REPLY",
    "truncated": "SMTP_LOST_REPLY",
    "garbage": "SMTP_GARBAGE",
    "slow_drip": "SMTP_TIMEOUT",
    "hang_after": "SMTP_TIMEOUT",
    "arrives_late": "SMTP_TIMEOUT",
}
SMTP_LOST_WITHOUT_IT = {
    "reset_before": "SMTP_LOST_REPLY",
    "closed_before": "SMTP_LOST_REPLY",
    "half_request": "SMTP_LOST_REPLY",
    "hang_before": "SMTP_TIMEOUT",
}
SMTP_NOT_NOW = {
    "good-refused": "SMTP_CONNECT",
    "rcpt_421": "SMTP_421",
    "rcpt_451": "SMTP_451",
    "rcpt_452": "SMTP_452",
    "reset_at_data": "SMTP_CONNECT",
    "hang_at_data": "SMTP_TIMEOUT",
    "dot_451": "SMTP_451",
}
SMTP_NEVER = {"rcpt_550": "SMTP_550", "dot_554": "SMTP_554"}


def endings(kind: GatewayKind) -> dict[str, Ending]:
    """What must become of each fault at this kind of provider."""
    mail = kind is BLIND
    with_it, without_it = (
        (SMTP_LOST_WITH_IT, SMTP_LOST_WITHOUT_IT) if mail else (HTTP_LOST_WITH_IT, HTTP_LOST_WITHOUT_IT)
    )
    not_now, never = (SMTP_NOT_NOW, SMTP_NEVER) if mail else (HTTP_NOT_NOW, HTTP_NEVER)
    lost = ("FAILED", True) if mail else ("SENT", False)
    # Where a key is taken it is sent again; who can be asked is asked first; a mail is never sent again.
    return {
        **{name: Ending("SENT", False, said, 1, 1) for name, said in ACCEPTED.items()},
        **{name: Ending(*lost, said, 2 if kind is IDEMPOTENT else 1, 1) for name, said in with_it.items()},
        **{name: Ending(*lost, said, 1 if mail else 2, 0 if mail else 1) for name, said in without_it.items()},
        **{name: Ending("SENT", False, said, 1 + came_whole(kind, name), 1) for name, said in not_now.items()},
        **{name: Ending("FAILED", False, said, came_whole(kind, name), 0) for name, said in never.items()},
    }


def came_whole(kind: GatewayKind, name: str) -> int:
    """Whether the first send of this fault got as far as the place of acceptance."""
    return name != "good-refused" and FAULTS["smtp" if kind is BLIND else "http"][name].at == "accept"


def first_word(stage: Stage, row: Found) -> tuple[str, str | None, str | None]:
    """Where the first attempt left the row, and code and message its sender recorded."""
    left = next(move for move in stage.moves(row) if move["from_status"] == "QUEUED")
    return left["to_status"], *stage.said(row)


@pytest.mark.parametrize("kind", GatewayKind)
def test_every_fault_of_one_send_ends_as_this_kind_of_provider_allows(
    stage: Stage, kind: GatewayKind, subtests: pytest.Subtests
) -> None:
    expected = endings(kind)
    stage.start_worker()
    stage.enqueue(kind, ["good-refused"])  # nobody listens yet
    until(
        lambda: stage.rows(kind)["good-refused"]["attempts"] > 0, seconds=PATIENCE_SECONDS, what="a refused connection"
    )
    stage.proxy.listen()
    stage.enqueue(kind, [name for name in expected if name != "good-refused"])
    stage.settle(kind)
    late = str(stage.rows(kind)["arrives_late"]["id"])
    until(lambda: stage.accepted()[late], seconds=PATIENCE_SECONDS, what="the late request has arrived")
    stage.enqueue(kind, ["good-last"])  # once it is sent, whoever wanted to resend anything else has had his turn
    stage.settle(kind)
    rows, found = stage.rows(kind), stage.endings(kind)
    for name, ending in expected.items():
        with subtests.test(fault=name):
            assert found[name] == ending
    with subtests.test("a reset before and one after acceptance are told in the same words"):
        assert first_word(stage, rows["reset_before"]) == first_word(stage, rows["reset_after"])
    for name in {"busy_429", "busy_503"} & expected.keys():
        with subtests.test("Retry-After is honoured", fault=name):
            first, second = stage.attempts(rows[name])
            assert second["sending_at"] - first["finished_at"] >= timedelta(seconds=2)
    with subtests.test("the log and the ledger agree"):
        assert stage.disagreements() == []


def test_a_question_to_the_provider_that_fails_proves_nothing_and_can_be_asked_again(stage: Stage) -> None:
    """Each send is lost, all but one after acceptance; then the look-up meets the same faults."""
    stage.proxy.listen()
    stage.start_worker(deadline_seconds=ASKING_SECONDS)
    in_time = {f"lost_reply-asked_{fault}" for fault in ASKED_IN_TIME}
    in_vain = {f"lost_reply-asked_{fault}" for fault in ASKED_IN_VAIN} | {"closed_before-asked_http_500"}
    stage.enqueue(LOOKUP, sorted(in_time | in_vain))

    def asked_once() -> bool:
        with owner(stage.database_url) as cursor:
            cursor.execute(
                f"UPDATE {stage.lanes[LOOKUP].table} SET lookup_at = now() + interval '1 day'"
                " WHERE in_doubt AND lookups = 1 AND split_part(recipient, '@', 1) = ANY (%s)",
                (list(in_vain),),
            )
        return all(stage.proxy.over[name] >= 2 for name in in_time | in_vain)

    until(asked_once, seconds=PATIENCE_SECONDS, what="every send and every look-up is spoilt")
    until(
        lambda: asked_once() and not stage.doubtful(LOOKUP) & in_time,
        seconds=PATIENCE_SECONDS,
        what="those with an answer are sent",
    )
    assert stage.doubtful(LOOKUP) == in_vain
    assert stage.proxy.sends == dict.fromkeys(in_time | in_vain, 1)
    rows = stage.rows(LOOKUP)
    answers = {name: look_up(stage.lanes[LOOKUP], rows[name], actor="person:test") for name in sorted(in_vain)}
    assert answers.pop("closed_before-asked_http_500") is LookUpAnswer.ABSENT
    assert set(answers.values()) == {LookUpAnswer.FOUND}
    stage.settle(LOOKUP)
    assert stage.statuses() == {"SENT"}
    assert set(stage.accepted().values()) == {1}
    assert stage.disagreements() == []
