"""Real processes under every kind of fault for a short while, and the judge of such a run, which must be able to say no."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from uuid import UUID, uuid4

import psycopg2
import pytest

from chaos.lanes import BULK, HL7, MAIL, WAITS_FOR_SWEEP, Kind, create_statements
from chaos.ledgers import Acceptance
from chaos.monkey import DECK
from chaos.oracle import Oracle, Verdict

NOTE = "a note"


def test_nothing_is_sent_twice_lost_or_left_open_while_everything_is_killed() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "chaos", "--seconds=20", "--seed=1", "--gap-seconds=0.4", "--per-second=400"],
        check=False,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=540,
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output[-20_000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    offences = ("accepted_twice", "lost", "unsettled", "transitions_mismatch", "body_mismatch", "out_of_order")
    assert {name: figures[name] for name in offences} == dict.fromkeys(offences, 0)
    assert set(figures["faults"]) == set(DECK), "the run was too short for one whole deck"
    assert figures["kills_by_target"]["postgres"] >= 1
    assert figures["sent"] > 1000
    assert figures["mix"][HL7.name] > 20


def sent(kind: Kind, dispatch_id: UUID, *, times: int = 1, note: str = NOTE, generation: int = 1) -> list[Acceptance]:
    """Ledger lines for a dispatch."""
    sha256 = hashlib.sha256(note.encode()).hexdigest()
    return [Acceptance(kind.name, str(dispatch_id), generation, "someone@example.org", sha256, "m", "")] * times


@pytest.fixture
def judge(database_url: str) -> Callable[..., Verdict]:
    """Judges one dispatch that took these moves against these ledger lines."""

    def judge(kind: Kind, dispatch_id: UUID, moves: list[str], lines: list[Acceptance], *, tamper: str = "") -> Verdict:
        with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
            for statement in create_statements():
                cursor.execute(statement)
            cursor.execute("SET dispatchlog.actor = 'test'")
            cursor.execute(
                f"INSERT INTO {kind.table} (id, recipient, note) VALUES (%s, 'someone@example.org', %s)",
                (str(dispatch_id), NOTE),
            )
            for move in moves:
                cursor.execute(f"UPDATE {kind.table} SET {move} WHERE id = %s", (str(dispatch_id),))
            cursor.execute(
                "INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway,"
                " outcome) SELECT %s, id, claim_token, claims, 1, 1, 'test', 'ACCEPTED' FROM "
                f"{kind.table} WHERE claim_token IS NOT NULL",
                (kind.name,),
            )
            if tamper:
                cursor.execute(tamper)
        oracle = Oracle(database_url)
        oracle.load(lines)
        return oracle.judge({kind.name: 1})

    return judge


CLAIM = "status = 'QUEUED', claims = claims + 1, claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now()"
SENT = "status = 'SENT', sent_at = now()"
FAILED = "status = 'FAILED'"
DOUBT = "status = 'FAILED', in_doubt = true"


def broken(verdict: Verdict) -> set[str]:
    return {name for name, ids in verdict.offenders.items() if ids}


def test_the_judge_is_content_with_one_acceptance_of_what_was_sent(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    verdict = judge(BULK, dispatch_id, [CLAIM, SENT], sent(BULK, dispatch_id))
    assert verdict.holds
    assert set(verdict.summary.values()) == {0}


def test_the_judge_allows_a_resend_under_one_key(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    assert judge(BULK, dispatch_id, [CLAIM, SENT], sent(BULK, dispatch_id, times=2)).holds


def test_the_judge_sees_an_effect_under_a_second_key(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    lines = sent(BULK, dispatch_id) + sent(BULK, dispatch_id, generation=2)
    assert broken(judge(BULK, dispatch_id, [CLAIM, SENT], lines)) == {"accepted_twice"}


def test_the_judge_sees_a_second_mail(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    verdict = judge(MAIL, dispatch_id, [CLAIM, SENT], sent(MAIL, dispatch_id, times=2))
    assert "accepted_twice" in broken(verdict)
    assert verdict.summary["accepted_twice"] == 1


@pytest.mark.parametrize(
    ("moves", "accepted", "offence"),
    [
        ([CLAIM, SENT], 0, "sent_but_not_accepted"),
        (["status = 'CANCELLED'"], 1, "accepted_but_not_sent"),
        ([CLAIM, FAILED], 1, "accepted_but_not_sent"),
        ([CLAIM], 0, "unsettled"),
        ([], 0, "unsettled"),
    ],
)
def test_the_judge_sees_what_was_lost_or_left_open(
    judge: Callable[..., Verdict], moves: list[str], accepted: int, offence: str
) -> None:
    dispatch_id = uuid4()
    verdict = judge(BULK, dispatch_id, moves, sent(BULK, dispatch_id, times=accepted))
    assert broken(verdict) == {offence}


def test_the_judge_lets_a_visible_doubt_be(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    verdict = judge(BULK, dispatch_id, [CLAIM, DOUBT], sent(BULK, dispatch_id))
    assert verdict.holds
    assert verdict.summary["in_doubt"] == 1


@pytest.mark.parametrize(
    ("tamper", "offence"),
    [
        (
            (
                "ALTER TABLE dispatch_transitions DISABLE TRIGGER ALL;"
                " DELETE FROM dispatch_transitions WHERE to_status = 'QUEUED'"
            ),
            "broken_chain",
        ),
        ("ALTER TABLE dispatch_transitions DISABLE TRIGGER ALL; DELETE FROM dispatch_transitions", "no_transitions"),
        (
            (
                "INSERT INTO dispatch_transitions (lane, dispatch_id, from_status, to_status, actor, database_user)"
                " SELECT lane, dispatch_id, from_status, to_status, actor, database_user FROM dispatch_transitions"
                " WHERE to_status = 'SENT'"
            ),
            "broken_chain",
        ),
        ("DELETE FROM dispatch_attempts", "sent_without_proof_or_word"),
        (
            (
                "INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway)"
                " SELECT lane, dispatch_id, gen_random_uuid(), number, 1, 1, 'test' FROM dispatch_attempts"
            ),
            "attempt_numbers_repeated",
        ),
    ],
)
def test_the_judge_sees_a_log_that_does_not_add_up(judge: Callable[..., Verdict], tamper: str, offence: str) -> None:
    dispatch_id = uuid4()
    found = broken(judge(BULK, dispatch_id, [CLAIM, SENT], sent(BULK, dispatch_id), tamper=tamper))
    assert offence in found


@pytest.mark.parametrize(
    ("arrived", "offences"),
    [((0, 1), set()), ((1, 0), {"out_of_order"}), ((1,), set()), ((0, 1, 0), {"out_of_order", "effects_repeated"})],
)
def test_the_judge_sees_a_patients_messages_out_of_order_or_with_two_effects(
    database_url: str, arrived: tuple[int, ...], offences: set[str]
) -> None:
    ids = [uuid4(), uuid4()]
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        for statement in create_statements():
            cursor.execute(statement)
        cursor.execute("SET dispatchlog.actor = 'test'")
        for each in ids:
            cursor.execute(
                f"INSERT INTO {HL7.table} (id, route, ordering_key, recipient, note)"
                " VALUES (%s, 'north', 'ada', 'ada', %s)",
                (str(each), NOTE),
            )
    oracle = Oracle(database_url)
    sha256 = hashlib.sha256(NOTE.encode()).hexdigest()
    oracle.load(
        Acceptance(HL7.name, str(ids[number]), 1, "ada", sha256, "m", f"2026-11-21T12:00:0{second}+00:00")
        for second, number in enumerate(arrived)
    )
    assert broken(oracle.judge({HL7.name: 2})) - {"unsettled"} == offences


@pytest.mark.parametrize("swept", [False, True])
def test_the_judge_sees_a_row_released_before_its_sweep(judge: Callable[..., Verdict], swept: bool) -> None:
    dispatch_id = uuid4()
    occurrence = (
        "INSERT INTO schedule_occurrences (job, occurs_at, started_at, started_by)"
        f" VALUES ('sweep:{WAITS_FOR_SWEEP.name}', now() + interval '1 h', now() - interval '1 h', 'test')"
    )
    verdict = judge(
        WAITS_FOR_SWEEP,
        dispatch_id,
        [CLAIM, SENT],
        sent(WAITS_FOR_SWEEP, dispatch_id),
        tamper=occurrence if swept else "",
    )
    assert ("released_early" in broken(verdict)) is not swept


def test_the_judge_sees_other_bytes(judge: Callable[..., Verdict]) -> None:
    dispatch_id = uuid4()
    verdict = judge(BULK, dispatch_id, [CLAIM, SENT], sent(BULK, dispatch_id, note="another note"))
    assert broken(verdict) == {"body_mismatch"}


def test_the_judge_misses_a_row_whose_commit_was_acknowledged(judge: Callable[..., Verdict], database_url: str) -> None:
    dispatch_id = uuid4()
    judge(BULK, dispatch_id, [CLAIM, SENT], sent(BULK, dispatch_id))
    verdict = Oracle(database_url).judge({BULK.name: 2})
    assert verdict.summary["lost"] == 1
    assert not verdict.holds
