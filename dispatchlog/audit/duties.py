"""What the clock does for the chain: seals, anchors, and looks every night whether the last day holds. Owns the timing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from dispatchlog.audit.anchors import AnchorError, write_anchor_if_new
from dispatchlog.audit.chain import NoChainKeyError
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import verify
from dispatchlog.keys.errors import CannotUnsealError

log = structlog.get_logger(__name__)

SEAL_SECONDS = 10
ANCHOR_SECONDS = 300
VERIFY_SECONDS = 86_400
# A little more than a day, so that two nights leave nothing out between them.
VERIFIED = timedelta(hours=26)
# Of this process; it remembers from one turn to the next whom it waits for.
_horizon = Horizon()


def seal(*, who: str) -> None:
    """Seal what is settled; without the key nothing is, and that is logged each time."""
    try:
        seal_all(_horizon, who=who)
    except (NoChainKeyError, CannotUnsealError) as error:
        log.error("AUDIT_NOT_SEALED", code=error.code, error=error.message)


def anchor(file: Path, *, who: str) -> None:
    """Write the head to the file where it is a new one; what cannot be written is logged, and alerts when it lasts."""
    try:
        write_anchor_if_new(file, who=who)
    except AnchorError as error:
        log.error("AUDIT_NOT_ANCHORED", error=error.message)


def verify_last_day(anchor_file: Path | None, *, who: str) -> None:
    """Verify what was sealed in the last day; what is wrong is kept, logged and alerted."""
    try:
        report = verify(who=who, since=datetime.now(UTC) - VERIFIED, anchor_file=anchor_file)
    except (NoChainKeyError, CannotUnsealError) as error:
        log.error("AUDIT_NOT_VERIFIED", code=error.code, error=error.message)
        return
    for finding in report.findings:
        log.error("AUDIT_BROKEN", code=finding.code, number=finding.number, source=finding.source)


def jobs_of(anchor_file: Path | None, *, who: str) -> list[tuple[str, int, partial[None], str]]:
    """The chain's lines of the timetable: name, seconds, what, why."""
    lines = [
        ("audit-seal", SEAL_SECONDS, partial(seal, who=who), "what happened can be changed unseen until it is sealed"),
    ]
    if anchor_file is not None:
        why = "whoever has the whole database cannot take back what lies elsewhere"
        lines.append(("audit-anchor", ANCHOR_SECONDS, partial(anchor, anchor_file, who=who), why))
    why = "what somebody changed behind our back is noticed within a day"
    lines.append(("audit-verify", VERIFY_SECONDS, partial(verify_last_day, anchor_file, who=who), why))
    return lines
