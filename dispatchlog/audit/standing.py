"""How the chain stands: sealed, verified and anchored when, and what is wrong. Reads; for pages, metrics and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, fetch_one

# What was wrong stays wrong until a check that looks at as much, and at anchors where that did, finds it right.
_BROKEN = """
SELECT b.at, b.findings FROM audit_checks b WHERE b.findings <> '[]' AND NOT EXISTS (SELECT FROM audit_checks g
    WHERE g.id > b.id AND g.findings = '[]' AND g.first_number <= b.first_number AND (g.anchors > 0 OR b.anchors = 0))
ORDER BY b.id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """The chain as it is now; what there never was is None."""

    seals: int
    sealed_at: datetime | None
    unsealed_seconds: float
    verified_at: datetime | None
    verified_rows: int
    verified_by: str
    anchored_at: datetime | None
    anchored_number: int
    pruned_through: int
    broken: dict[str, Any] | None


def standing() -> Standing:
    """How the chain stands."""
    with connected():
        seals = fetch_all("SELECT number, sealed_at FROM audit_seals ORDER BY number DESC LIMIT 1")
        checks = fetch_all("SELECT at, row_count, checked_by FROM audit_checks ORDER BY id DESC LIMIT 1")
        anchors = fetch_all("SELECT at, number FROM audit_anchors ORDER BY id DESC LIMIT 1")
        pruned = fetch_one("SELECT coalesce(max(through), 0) FROM audit_prunings")[0]
        number, sealed_at = seals[0] if seals else (0, None)
        verified_at, verified_rows, verified_by = checks[0] if checks else (None, 0, "")
        anchored_at, anchored_number = anchors[0] if anchors else (None, 0)
        return Standing(
            seals=number,
            sealed_at=sealed_at,
            unsealed_seconds=unsealed_seconds(),
            verified_at=verified_at,
            verified_rows=verified_rows,
            verified_by=verified_by,
            anchored_at=anchored_at,
            anchored_number=anchored_number,
            pruned_through=pruned,
            broken=first_finding(),
        )


def unsealed_seconds() -> float:
    """How old the oldest row is that no seal covers; 0 where all are sealed."""
    with connected():
        found = fetch_one("SELECT max(seconds) FROM dispatchlog_audit_unsealed()")[0]
    return max(0.0, float(found or 0.0))


def first_finding() -> dict[str, Any] | None:
    """What is wrong, the first of it, since when; None: nothing that is known."""
    with connected():
        found = fetch_dicts(_BROKEN)
    return {"at": found[0]["at"], **found[0]["findings"][0]} if found else None


def unanchored_seconds() -> float:
    """For how long the chain's head has been newer than its newest anchor; 0 where that one is its head."""
    with connected():
        found = fetch_one(
            "SELECT extract(epoch FROM clock_timestamp() - (SELECT sealed_at FROM audit_seals"
            " WHERE number > coalesce((SELECT max(number) FROM audit_anchors), 0) ORDER BY number LIMIT 1))::float8"
        )[0]
    return max(0.0, float(found or 0.0))
