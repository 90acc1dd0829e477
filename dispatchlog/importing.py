"""Taking over orders from a file. Owns the report of what was stored and what was not; has no rule of its own.

Orders are read as the API reads them, and each is stored in a transaction of its own: a bad one stops no other, and
importing the same file again changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dispatchlog.engine.database import connected
from dispatchlog.import_files import ImportRefused, Record, count_lines, read_records
from dispatchlog.order_documents import DocumentError, OrderDocument, Problem, read_document
from dispatchlog.systems.kit_orders import OrderError, put_order

__all__ = ["ImportRefused", "ImportReport", "LineError", "import_orders"]

MAX_ERRORS = 1_000
_SOURCE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PROGRESS_EVERY = 50


@dataclass(frozen=True, slots=True)
class LineError:
    """One thing wrong, without the value. `line` counts from 1; `field` is the file's own name of it, or ""."""

    line: int
    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file: `stored` orders (new or again), `refused` ones, and why.

    `complete` is False when the file broke off and its rest was not read. Of very many errors the first are kept, and
    `errors_left_out` counts the rest.
    """

    stored: int = 0
    refused: int = 0
    errors: tuple[LineError, ...] = ()
    errors_left_out: int = 0
    complete: bool = True

    @property
    def orders(self) -> int:
        return self.stored + self.refused


@dataclass(slots=True)
class _Tally:
    stored: int = 0
    refused: int = 0
    errors: list[LineError] = field(default_factory=list)
    left_out: int = 0
    complete: bool = True

    def refuse(self, record: Record, problems: tuple[Problem, ...]) -> None:
        self.refused += 1
        self.complete = self.complete and not record.last
        for problem in problems:
            if len(self.errors) < MAX_ERRORS:
                line, place = record.locate(problem.field)
                self.errors.append(LineError(line, place, problem.code, problem.message))
            else:
                self.left_out += 1

    def report(self) -> ImportReport:
        return ImportReport(self.stored, self.refused, tuple(self.errors), self.left_out, self.complete)


def import_orders(path: Path, *, source: str, progress: Callable[[int, int], None] | None = None) -> ImportReport:
    """Store every good order of the file; what was wrong with the others comes back.

    Args:
        path: .json (a list, or one order per line), .jsonl, .ndjson or .csv, in UTF-8; see docs/api.md.
        source: who reported the orders; kept with each.
        progress: called now and then with the lines done and the lines there are.

    Raises:
        ImportRefused: the file as a whole cannot be read; nothing was stored.
        peewee.OperationalError: the database went away; what was stored stays, and importing again goes on from there.
    """
    if not _SOURCE.fullmatch(source):
        message = "a source is 1 to 64 lower-case letters, digits and hyphens"
        raise ImportRefused(message, code="INVALID_SOURCE")
    total = count_lines(path)
    tally = _Tally()
    with connected():
        for number, record in enumerate(read_records(path)):
            if progress is not None and number % _PROGRESS_EVERY == 0:
                progress(record.line - 1, total)
            problems = _store(record, source)
            if problems:
                tally.refuse(record, problems)
            else:
                tally.stored += 1
    if progress is not None:
        progress(total, total)
    return tally.report()


def _store(record: Record, source: str) -> tuple[Problem, ...]:
    """Store the record's order; what is wrong with it comes back, and then nothing of it was stored."""
    if record.problem is not None:
        return (record.problem,)
    try:
        document = read_document(OrderDocument, record.text)
        if document.order_id is None:
            return (Problem("MISSING_FIELD", "is required", "orderId"),)
        put_order(document.to_input(document.order_id), source=source)
    except DocumentError as error:
        return error.problems
    except OrderError as error:
        return (Problem(error.code, error.message, error.field),)
    return ()
