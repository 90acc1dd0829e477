"""The head of the chain, written to a file that lies elsewhere. Owns `audit_anchors` and the form of the file's lines.

Whoever can cut off the end of the chain, rows and seals, can make everything in the database fit again. The file cannot be
made to fit: it only grows, on another machine or where nothing can be taken back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dispatchlog.audit.chain import moment
from dispatchlog.audit.sealing import head
from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.errors import DispatchlogError


class AnchorError(DispatchlogError):
    """The anchor file cannot be read or written."""

    code = "AUDIT_ANCHOR"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a line of the file says: at that time the chain ended with that seal."""

    number: int
    chained: bytes
    at: str


def write_anchor(file: Path, *, who: str) -> Anchor | None:
    """Append a line for the newest seal and remember that it was done; None where there is no seal yet.

    The line is on the disk before it is remembered.

    Raises:
        AnchorError: the file cannot be written.
    """
    newest = head()
    if newest is None:
        return None
    anchor = Anchor(newest.number, newest.chained, moment(datetime.now(UTC)))
    _append(file, json.dumps({"at": anchor.at, "number": anchor.number, "chained": anchor.chained.hex()}))
    with transaction(f"audit:{who}"):
        execute(
            "INSERT INTO audit_anchors (number, chained, file) VALUES (%s, %s, %s)",
            (anchor.number, anchor.chained, str(file)[-255:]),
        )
    return anchor


def write_anchor_if_new(file: Path, *, who: str) -> Anchor | None:
    """The same where the newest seal is not the newest anchor's."""
    newest = head()
    with connected():
        known = fetch_all(
            "SELECT chained FROM audit_anchors WHERE file = %s ORDER BY id DESC LIMIT 1", (str(file)[-255:],)
        )
    if newest is None or (known and bytes(known[0][0]) == newest.chained):
        return None
    return write_anchor(file, who=who)


def read_anchors(file: Path) -> Iterator[Anchor]:
    """Every line of the file, oldest first.

    Raises:
        AnchorError: there is no such file, or a line of it is none of ours.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for place, line in enumerate(lines, 1):
                yield _anchor(file, place, line)
    except (OSError, UnicodeDecodeError) as error:
        raise AnchorError(f"{file} cannot be read: {error}") from error


def _anchor(file: Path, place: int, line: str) -> Anchor:
    try:
        read = json.loads(line)
        return Anchor(int(read["number"]), bytes.fromhex(read["chained"]), str(read["at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AnchorError(f"line {place} of {file} is not an anchor") from error


def _append(file: Path, line: str) -> None:
    """One write of one line, and to the disk: two who write at once do not mix their lines."""
    try:
        number = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(number, line.encode() + b"\n")
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        raise AnchorError(f"{file} cannot be written: {error}") from error
