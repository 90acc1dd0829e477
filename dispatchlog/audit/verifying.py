"""Whether the chain holds: every seal, every row below it, and what the anchors know. Owns `audit_checks`.

It goes through the chain a seal at a time, so it needs no memory for it, and writers go on meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dispatchlog.audit import findings as found
from dispatchlog.audit.anchors import AnchorError, read_anchors
from dispatchlog.audit.chain import COLUMNS, FIRST_ID, IS_PRUNED, NOTHING, PRUNABLE, Seal, holds, key_since, seal_of
from dispatchlog.audit.findings import Finding
from dispatchlog.audit.functions import changed_functions
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction

# So many are told; the first one says where to begin.
MOST_FINDINGS = 20
_SEALS_AT_ONCE = 500
_SEALS = f"SELECT {COLUMNS} FROM audit_seals WHERE number > %s AND number <= %s ORDER BY number LIMIT %s"
_DIGEST = "SELECT row_count, digest FROM dispatchlog_audit_digest(%s, %s, %s, %s)"


@dataclass(slots=True)
class Report:
    """What was looked at and what is wrong; `cut`: more is wrong than is told."""

    first_number: int = 0
    last_number: int = 0
    seals: int = 0
    rows: int = 0
    pruned: int = 0
    anchors: int = 0
    findings: list[Finding] = field(default_factory=list)
    cut: bool = False

    @property
    def is_good(self) -> bool:
        return not self.findings

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)
        else:
            self.cut = True


Told = Callable[[Report, int], None]


def verify(
    *, who: str, since: datetime | None = None, anchor_file: Path | None = None, told: Told | None = None
) -> Report:
    """Look through the whole chain, or from the first seal made at `since` or later; what was found is kept too.

    `told` hears after every few seals how far it is, and the number of the last one.
    """
    report = Report()
    with connected():
        before = _before(since)
        last = fetch_one("SELECT coalesce(max(number), 0) FROM audit_seals")[0]
        report.first_number, report.last_number = (before.number if before else 0) + 1, last
        for name in changed_functions():
            report.add(found.changed_function(name))
        _follow(report, before, last, told)
        if anchor_file is not None:
            _compare(report, anchor_file, last)
    with transaction(f"audit:{who}"):
        execute(
            "INSERT INTO audit_checks (first_number, last_number, row_count, anchors, findings, checked_by)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (
                report.first_number,
                report.last_number,
                report.rows,
                report.anchors,
                json.dumps([finding.as_json() for finding in report.findings]),
                who[:128],
            ),
        )
    return report


def _before(since: datetime | None) -> Seal | None:
    """The seal before the first one to be looked at; None: from the beginning."""
    if since is None:
        return None
    rows = fetch_all(f"SELECT {COLUMNS} FROM audit_seals WHERE sealed_at < %s ORDER BY number DESC LIMIT 1", (since,))
    return seal_of(rows[0]) if rows else None


def _follow(report: Report, before: Seal | None, last: int, told: Told | None) -> None:
    ends: dict[str, int] = _ends(before)
    previous = before
    ours = _Ours(key_since())
    for seal in _seals(before.number if before else 0, last):
        _check_place(report, previous, seal, ends, ours)
        _check_rows(report, seal)
        previous = seal
        ends[seal.source] = seal.last_id
        report.seals += 1
        if told is not None and report.seals % 10 == 0:
            told(report, last)
    if told is not None:
        told(report, last)


def _ends(before: Seal | None) -> dict[str, int]:
    rows = fetch_all(
        "SELECT source, max(last_id) FROM audit_seals WHERE number <= %s GROUP BY source",
        (before.number if before else 0,),
    )
    return dict(rows)


def _seals(after: int, last: int) -> Iterator[Seal]:
    while rows := fetch_all(_SEALS, (after, last, _SEALS_AT_ONCE)):
        yield from (seal_of(row) for row in rows)
        after = rows[-1][0]


@dataclass(slots=True)
class _Ours:
    """Since when our key is there, and whether a seal has held under it: what follows that one was made under it too."""

    since: datetime | None
    has_held: bool = False

    def other_key(self, seal: Seal) -> datetime | None:
        """The key's time where the seal was made under an earlier one, which was given up."""
        return self.since if self.since is not None and seal.sealed_at < self.since and not self.has_held else None


def _check_place(report: Report, previous: Seal | None, seal: Seal, ends: dict[str, int], ours: _Ours) -> None:
    """One finding a seal: what is missing before it also explains why it does not follow."""
    expected = previous.number if previous else 0
    is_ours = holds(seal)
    ours.has_held |= is_ours
    if not is_ours:
        since = ours.other_key(seal)
        report.add(found.of_other_key(seal, since) if since is not None else found.changed(seal))
    elif seal.number != expected + 1:
        report.add(found.missing(expected, seal))
    elif seal.previous != (previous.chained if previous else NOTHING) or seal.after_id != ends.get(
        seal.source, FIRST_ID
    ):
        report.add(found.out_of_place(seal))


def _check_rows(report: Report, seal: Seal) -> None:
    # Asked before the rows and after them: retention may take them just between. It leaves none of what it takes, so
    # whoever takes some rows and says that it was retention is told by those that are left.
    was_pruned = _is_pruned(seal)
    rows, digest = _digest(seal)
    if not was_pruned and (rows, digest) == (seal.row_count, seal.digest):
        report.rows += rows
    elif was_pruned or _is_pruned(seal):
        report.pruned += 1
        if rows:
            report.add(found.pruned_but_there(seal, rows))
    elif rows < seal.row_count:
        report.add(found.deleted(seal, rows))
    elif rows > seal.row_count:
        report.add(found.inserted(seal, rows))
    else:
        report.add(found.edited(seal))


def _digest(seal: Seal) -> tuple[int, bytes]:
    rows, digest = fetch_one(_DIGEST, (seal.source, seal.after_id, seal.last_id, seal.salt))
    return rows, bytes(digest)


def _is_pruned(seal: Seal) -> bool:
    return seal.source in PRUNABLE and bool(fetch_one(IS_PRUNED, (seal.number, seal.source))[0])


def _compare(report: Report, file: Path, last: int) -> None:
    try:
        for anchor in read_anchors(file):
            if anchor.number < report.first_number:
                continue
            report.anchors += 1
            known = fetch_all("SELECT chained FROM audit_seals WHERE number = %s", (anchor.number,))
            if not known and anchor.number > last:
                report.add(found.tail_cut(anchor.number, anchor.at, last))
            elif not known or bytes(known[0][0]) != anchor.chained:
                report.add(found.other_than_anchor(anchor.number, anchor.at))
    except AnchorError as error:
        report.add(found.unreadable_anchor(error.message))
