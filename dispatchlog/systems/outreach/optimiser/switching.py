"""Whether the optimiser may decide: its modes, the evidence, and the proof it owes before it is turned on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.optimiser import modes
from dispatchlog.systems.outreach.optimiser.choosing import KINDS, LEARNING, MODES, OFF, ON
from dispatchlog.systems.outreach.optimiser.proving import Proof, prove

# A proof younger than this is not made again for turning it on.
FRESH = timedelta(hours=2)
_WATCH = Asker("system")
_COLUMNS = "kind, mode, evidence, reason, version, changed_by, changed_at"
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """One kind of decision: its mode, since when and by whom, and what speaks for it (`evidence`: the last proof as a
    document, with `at`; empty where nobody looked yet)."""

    kind: str
    mode: str
    evidence: Mapping[str, Any]
    reason: str
    version: int
    changed_by: str
    changed_at: datetime


def every_standing() -> Sequence[Standing]:
    """hour, channel, content."""
    with connected():
        found = {row["kind"]: Standing(**row) for row in fetch_dicts(f"SELECT {_COLUMNS} FROM comm_optimiser")}
    return [found[kind] for kind in KINDS]


def proof(kind: str) -> Proof:
    """What the log says now.

    Raises:
        OutreachError: UNKNOWN_KIND.
    """
    _check(kind, KINDS, "UNKNOWN_KIND", "kind")
    with connected():
        return prove(kind)


def set_mode(kind: str, mode: str, *, based_on: int, asker: Asker, reason: str) -> Standing:
    """How it stands then.

    Raises:
        OutreachError: UNKNOWN_KIND, UNKNOWN_MODE, REASON_REQUIRED, VERSION_CONFLICT, NOT_PROVEN (turning on without a proof
            that holds; in `present`).
    """
    _check(kind, KINDS, "UNKNOWN_KIND", "kind")
    _check(mode, MODES, "UNKNOWN_MODE", "mode")
    if not reason.strip():
        raise OutreachError("say why: the reason stays with the change", code="REASON_REQUIRED", field="reason")
    if mode == ON:
        _require_proof(kind)
    with transaction(asker.actor, reason):
        return _change(kind, mode, based_on=based_on, asker=asker, reason=reason)


def look_again() -> None:
    """Judge every kind that is not off, keep what was found, and take back what is on and does not hold any more."""
    for standing in every_standing():
        if standing.mode != OFF:
            found = _judge(standing.kind)
            if standing.mode == ON and found["fails"]:
                _take_back(standing)


def _require_proof(kind: str) -> None:
    [standing] = [each for each in every_standing() if each.kind == kind]
    found = standing.evidence
    if not found or datetime.fromisoformat(found["at"]) < datetime.now(UTC) - FRESH:
        found = _judge(kind)
    if not found["holds"]:
        raise OutreachError(
            f"it has not proved itself: {' '.join(found['words'])}", code="NOT_PROVEN", field="mode", present=found
        )


def _judge(kind: str) -> Mapping[str, Any]:
    found = {**asdict(proof(kind)), "at": datetime.now(UTC).isoformat()}
    with transaction(_WATCH.actor, "the log was judged"):
        execute("UPDATE comm_optimiser SET evidence = %s WHERE kind = %s", (json.dumps(found), kind))
    return found


def _take_back(standing: Standing) -> None:
    reason = "The log does not prove any more that it helps."
    try:
        with transaction(_WATCH.actor, reason):
            _change(standing.kind, LEARNING, based_on=standing.version, asker=_WATCH, reason=reason)
    except OutreachError as error:
        if error.code != "VERSION_CONFLICT":  # somebody has just decided about it
            raise


def _change(kind: str, mode: str, *, based_on: int, asker: Asker, reason: str) -> Standing:
    [before] = fetch_all("SELECT mode FROM comm_optimiser WHERE kind = %s FOR UPDATE", (kind,))
    rows = fetch_dicts(
        "UPDATE comm_optimiser SET mode = %s, reason = %s, changed_by = %s, changed_at = now(), version = version + 1"
        f" WHERE kind = %s AND version = %s RETURNING {_COLUMNS}",
        (mode, reason.strip()[:_LONGEST_REASON], asker.actor, kind, based_on),
    )
    if not rows:
        raise OutreachError("somebody changed it meanwhile; look at it first", code="VERSION_CONFLICT", field="version")
    detail = {"kind": kind, "from": before[0], "to": mode}
    log_action(asker.actor, "optimiser_mode", reason=reason, detail=detail)
    modes.empty()
    return Standing(**rows[0])


def _check(value: str, known: Sequence[str], code: str, field: str) -> None:
    if value not in known:
        raise OutreachError(
            f"there is no {field} {value[:32]!r}; it is one of {', '.join(known)}", code=code, field=field
        )
