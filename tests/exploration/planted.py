"""Planted bugs: the engine with one thing wrong. Each must be found, or the exploration proves nothing.

A bug is a function in place of one of the engine's, or a few words of SQL that are left out or put in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from dispatchlog.engine import delivery, ledger, lookup, operator, outcome, payloads, rescue
from dispatchlog.engine.errors import OutcomeUnknown, Transient
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.ledger import Result
from tests.exploration.actors import DATABASE
from tests.exploration.state import Bounds

BLIND, IDEMPOTENT, LOOKUP = GatewayKind.BLIND, GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP


@dataclass(frozen=True)
class Planted:
    """One bug: what is wrong in a sentence, the kind of provider and the bounds within which it shows.

    `functions` are put in place of the engine's, `words` of its SQL are replaced; one that is not there is an error.
    """

    sentence: str
    kind: GatewayKind
    bounds: Bounds
    functions: tuple[tuple[Any, str, Any], ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """While this lasts the engine has the bug. Raises LookupError when its SQL never had the words."""
    missing = set(bug.words)
    run = DATABASE.execute_sql

    def execute_sql(sql: str, parameters: Any = None) -> Any:
        for words, others in bug.words.items():
            if words in sql:
                missing.discard(words)
                sql = sql.replace(words, others)
        return run(sql, parameters)

    with contextlib.ExitStack() as stack:
        for owner, name, function in bug.functions:
            stack.enter_context(mock.patch.object(owner, name, function))
        stack.enter_context(mock.patch.object(DATABASE, "execute_sql", execute_sql))
        yield
    if missing:
        raise LookupError(f"the engine's SQL has no {sorted(missing)}")


def _one(**more: Any) -> Bounds:
    """One dispatch, and only the troubles named."""
    few: dict[str, Any] = {"pauses": 0, "kills": 0, "locks": 0, "replies": 0, "commits": 0, "acts": 0, "troubles": 9}
    return Bounds(**{"deliveries": 1, "days": 2, **few, **more})


# --- functions with something wrong

_send, _judge, _ended, _mark = (
    delivery._Batch._call,
    outcome.judge,
    lookup.sender_ended_seconds_ago,
    ledger.mark_sending,
)


def _record_first(batch: Any, row: Any, parcel: Any, fence: Callable[[], None]) -> Any:
    batch._record([Result(row, outcome.accepted(Receipt()))])
    return _send(batch, row, parcel, fence)


def _unknown_is_transient(error: Any, row: Any, **named: Any) -> Any:
    return _judge(Transient(error.message) if isinstance(error, OutcomeUnknown) else error, row, **named)


def _unknown_is_released(error: Any, row: Any, **named: Any) -> Any:
    return outcome.not_sent("given back") if isinstance(error, OutcomeUnknown) else _judge(error, row, **named)


def _any_end_will_do(row: Any) -> float | None:
    return None if _ended(row) is None else 1e9


def _mark_nothing(lane: Any, row: Any, *, worker_id: int) -> bool:
    return True


def _marked_counts_as_unmarked(lane: Any, rows: Any) -> int:
    return _take_over(lane, [(row[0], row[1], False) for row in rows])


_take_over = rescue._take_over
_AGAIN_WITH_A_NEW_KEY = operator._AGAIN.replace("{more}", operator._NEW_KEY + "{more}")

BUGS: dict[str, Planted] = {
    "record without the token": Planted(
        "A sender that was paused records over the claim of the next one.",
        IDEMPOTENT,
        _one(pauses=2, locks=1, replies=1),
        words={"t.claim_token = %(token)s AND coalesce": "coalesce"},
    ),
    "mark without the token or the fence": Planted(
        "A sender whose row was rescued and claimed anew marks it and sends it all the same. Either guard alone holds.",
        BLIND,
        _one(pauses=2, locks=1),
        functions=((delivery._Batch, "_fence", lambda batch: None),),
        words={
            "WHERE id = %s AND claim_token = %s AND status = 'QUEUED'": "WHERE id = %s AND (claim_token = %s OR true)"
            " AND status = 'QUEUED'"
        },
    ),
    "record before the send": Planted(
        "SENT is written before the provider has it.",
        BLIND,
        _one(),
        functions=((delivery._Batch, "_call", _record_first),),
    ),
    "no mark before the write": Planted(
        "Nothing says that the row may have left, so a killed sender's row is sent again.",
        BLIND,
        _one(kills=1),
        functions=((ledger, "mark_sending", _mark_nothing),),
    ),
    "absent without proof of death": Planted(
        "A look-up that finds nothing frees the row although its sender may still write.",
        LOOKUP,
        _one(pauses=1, locks=1, days=3),
        functions=((lookup, "sender_ended_seconds_ago", lambda row: 1e9),),
    ),
    "absent right after the death": Planted(
        "Any proof of death counts, however fresh: what was written last is not shown by the provider yet.",
        LOOKUP,
        _one(pauses=2, locks=1, kills=1, days=3),
        functions=((lookup, "sender_ended_seconds_ago", _any_end_will_do),),
    ),
    "absent for another try": Planted(
        "An answer about one try frees the row from the doubt of the next.",
        LOOKUP,
        _one(pauses=1, replies=2, acts=1, days=1),
        words={
            "WHERE id = %s AND claim_token = %s AND status = 'FAILED'": "WHERE id = %s AND (claim_token = %s OR true)"
            " AND status = 'FAILED'"
        },
    ),
    "unknown taken for transient": Planted(
        "A lost reply of a provider that cannot recognise a second send is retried.",
        BLIND,
        _one(replies=1),
        functions=((outcome, "judge", _unknown_is_transient),),
    ),
    "release after the mark": Planted(
        "A row whose reply was lost is given back as if nothing had left.",
        LOOKUP,
        _one(replies=1),
        functions=((outcome, "judge", _unknown_is_released),),
    ),
    "rescue of the marked": Planted(
        "A killed sender's marked row counts as unsent.",
        BLIND,
        _one(kills=1),
        functions=((rescue, "_take_over", _marked_counts_as_unmarked),),
        words={"AND t.status = 'QUEUED' AND t.sending_at IS NULL": "AND t.status = 'QUEUED'"},
    ),
    "rescue of what is marked meanwhile": Planted(
        "Between the rescuer's look and its update the sender marks the row.",
        BLIND,
        _one(pauses=3, locks=1, days=0, statements=True),
        words={"AND t.status = 'QUEUED' AND t.sending_at IS NULL": "AND t.status = 'QUEUED'"},
    ),
    "rescue forgets the doubt": Planted(
        "An IDEMPOTENT row of a killed sender goes back as if it had never been tried.",
        IDEMPOTENT,
        _one(kills=1, replies=1, acts=1),
        words={"CASE WHEN %(may_have_left)s THEN t.first_claimed_at": "CASE WHEN %(may_have_left)s THEN NULL"},
    ),
    "nobody rescues": Planted(
        "What a killed sender held stays where it is.",
        BLIND,
        _one(kills=1),
        functions=((rescue, "_is_dead", lambda _: False),),
    ),
    "lost claims are left": Planted(
        "A claim whose COMMIT reply was lost belongs to nobody, for its process lives.",
        BLIND,
        _one(commits=1),
        words={" AND claimed_at < clock_timestamp() - interval '3.0 s'": " AND claimed_at > clock_timestamp()"},
    ),
    "a new key in doubt": Planted(
        "An operator's retry of a row in doubt takes a new key, which the provider does not know.",
        IDEMPOTENT,
        _one(replies=2, acts=1),
        functions=((operator, "_AGAIN", _AGAIN_WITH_A_NEW_KEY), (operator, "_NEW_KEY", "")),
    ),
    "a retry in doubt": Planted(
        "An operator may retry a row in doubt although the provider takes no key.",
        BLIND,
        _one(replies=1, acts=1),
        functions=((operator, "key_still_known", lambda lane, row: True),),
    ),
    "a cancel in doubt": Planted(
        "An operator may cancel a row that may have left.",
        BLIND,
        _one(replies=1, acts=1),
        functions=((operator, "_doubtful", lambda row: False),),
        # Without this PostgreSQL refuses it: what is in doubt is FAILED.
        words={"SET status = 'CANCELLED', updated_at": "SET status = 'CANCELLED', in_doubt = false, updated_at"},
    ),
    "the first claim forgotten": Planted(
        "Each claim counts as the first, so a later no hides that an earlier try may have been accepted.",
        IDEMPOTENT,
        _one(kills=1, replies=1),
        words={"first_claimed_at = coalesce(t.first_claimed_at, now())": "first_claimed_at = now()"},
    ),
    "the key outlived": Planted(
        "A key is used again after the provider has forgotten it.",
        IDEMPOTENT,
        _one(kills=1, days=3),
        functions=((outcome, "must_not_resend", lambda *_, **__: False),),
    ),
    "proof without effect": Planted(
        "A late acceptance is stored, and the row stays as it is.",
        BLIND,
        _one(pauses=1, locks=1),
        functions=((ledger, "prove_sent", lambda lane, ids: []),),
    ),
    "proof without a lock": Planted(
        "A proof and a failure recorded at the same moment overlook each other.",
        IDEMPOTENT,
        _one(pauses=2, locks=1, replies=1, days=0, statements=True),
        words={"WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE": "WHERE id = ANY (%s::uuid[]) ORDER BY id"},
    ),
    "evidence overwritten": Planted(
        "A sender's lost reply takes the place of the provider's own word.",
        BLIND,
        _one(pauses=1, replies=1, acts=1),
        words={
            "outcome = CASE WHEN a.outcome = 'ACCEPTED' THEN a.outcome ELSE EXCLUDED.outcome END": "outcome ="
            " EXCLUDED.outcome"
        },
    ),
    "expiry hides a doubt": Planted(
        "A row that may have left is cancelled when it is of no use any more.",
        IDEMPOTENT,
        _one(replies=1, expiring=True),
        words={
            "in_doubt = t.first_claimed_at IS NOT NULL": "in_doubt = false",
            "CASE WHEN t.first_claimed_at IS NULL THEN 'CANCELLED' ELSE 'FAILED' END": "'CANCELLED'",
        },
    ),
    "other bytes": Planted(
        "A resend is composed anew instead of sending what is stored.",
        IDEMPOTENT,
        _one(kills=1),
        functions=((payloads, "_stored", lambda lane, rows: {}), (payloads, "_store", lambda lane, rows, letters: {})),
    ),
}
