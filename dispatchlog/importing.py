"""Taking over orders or visits from a file. Owns the report of what was stored and what was not; has no rule of its own.

They are read as the API reads them, and each is stored in a transaction of its own: a bad one stops no other, and
importing the same file again changes nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from zlib import crc32

from dispatchlog.import_files import ImportRefused, Record, count_lines, read_records
from dispatchlog.order_documents import DocumentError, OrderDocument, Problem, read_document
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.visits import record_visit
from dispatchlog.systems.kit_orders import OrderError, store_order
from dispatchlog.tracing import current_trace_id, set_trace_id
from dispatchlog.visit_documents import VisitDocument

__all__ = ["ImportRefused", "ImportReport", "LineError", "import_orders", "import_visits"]

MAX_ERRORS = 1_000
_SOURCE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PROGRESS_EVERY = 50
_AHEAD = 64


@dataclass(frozen=True, slots=True)
class LineError:
    """One thing wrong, without the value. `line` counts from 1; `field` is the file's own name of it, or ""."""

    line: int
    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file: `stored` orders or visits (new or again), `refused` ones, and why.

    `complete` is False when the file broke off and its rest was not read. Of very many errors the first are kept, and
    `errors_left_out` counts the rest.
    """

    stored: int = 0
    refused: int = 0
    errors: tuple[LineError, ...] = ()
    errors_left_out: int = 0
    complete: bool = True
    what: str = "order"

    @property
    def orders(self) -> int:
        return self.stored + self.refused

    @property
    def summary(self) -> str:
        """The report in one line, such as `1 order stored, 2 refused`."""
        parts = [f"{self.stored} {self.what}{'' if self.stored == 1 else 's'} stored, {self.refused} refused"]
        if self.errors_left_out:
            parts.append(f"{self.errors_left_out} more {'error' if self.errors_left_out == 1 else 'errors'} not listed")
        if not self.complete:
            parts.append("the rest of the file was not read")
        return "; ".join(parts)


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

    def report(self, what: str) -> ImportReport:
        return ImportReport(self.stored, self.refused, tuple(self.errors), self.left_out, self.complete, what)


@dataclass(frozen=True, slots=True)
class _Job:
    """One thing to store: those of one `key` are stored by one thread, in the file's order.

    `store` raises OrderError or VisitError where nothing of it was stored.
    """

    key: str
    store: Callable[[], object]


Reader = Callable[[Record, str], _Job]


def import_orders(
    path: Path, *, source: str, progress: Callable[[int, int], None] | None = None, writers: int = 4
) -> ImportReport:
    """Store every good order of the file; what was wrong with the others comes back.

    Args:
        path: .json (a list, or one order per line), .jsonl, .ndjson or .csv, in UTF-8; see docs/api.md.
        source: who reported the orders; kept with each.
        progress: called now and then with the lines done and the lines there are.
        writers: how many orders are stored at once; reports of one order always stay in the file's order.

    Raises:
        ImportRefused: the file as a whole cannot be read; nothing was stored.
        peewee.OperationalError: the database went away; what was stored stays, and importing again goes on from there.
    """
    return _import(path, _read_order, what="order", source=source, progress=progress, writers=writers)


def import_visits(
    path: Path, *, source: str, progress: Callable[[int, int], None] | None = None, writers: int = 4
) -> ImportReport:
    """Store every good visit of the file with its message; what was wrong with the others comes back.

    As `import_orders`, but CSV cannot hold a visit, and a student's visits always stay in the file's order. Each needs its
    `visitId`, so that importing the file again changes nothing.

    Raises:
        ImportRefused, peewee.OperationalError
    """
    if path.suffix.lower() == ".csv":
        message = "visits are imported from .json, .jsonl or .ndjson: a visit does not fit into the columns of a .csv"
        raise ImportRefused(message, code="UNKNOWN_FORMAT")
    return _import(path, _read_visit, what="visit", source=source, progress=progress, writers=writers)


def _import(
    path: Path, read: Reader, *, what: str, source: str, progress: Callable[[int, int], None] | None, writers: int
) -> ImportReport:
    if not _SOURCE.fullmatch(source):
        message = "a source is 1 to 64 lower-case letters, digits and hyphens"
        raise ImportRefused(message, code="INVALID_SOURCE")
    total = count_lines(path)
    tally = _Tally()
    with _Writers(writers, read, source=source) as storing:
        outcomes = _in_order(storing.store(record) for record in read_records(path))
        for number, (record, problems) in enumerate(outcomes):
            if progress is not None and number % _PROGRESS_EVERY == 0:
                progress(record.line - 1, total)
            if problems:
                tally.refuse(record, problems)
            else:
                tally.stored += 1
    if progress is not None:
        progress(total, total)
    return tally.report(what)


Outcome = tuple[Record, tuple[Problem, ...]]


class _Writers:
    """A few threads that store; what belongs together has one that is always its own."""

    def __init__(self, count: int, read: Reader, *, source: str) -> None:
        self._read = read
        self._source = source
        self._trace_id = current_trace_id()
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="import") for _ in range(count)]

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)

    def store(self, record: Record) -> Future[Outcome]:
        """Store what the record holds; the outcome says what is wrong with it, and then nothing of it was stored."""
        try:
            job = self._read(record, self._source)
        except DocumentError as error:
            refused: Future[Outcome] = Future()
            refused.set_result((record, error.problems))
            return refused
        return self._threads[crc32(job.key.encode()) % len(self._threads)].submit(self._write, record, job)

    def _write(self, record: Record, job: _Job) -> Outcome:
        set_trace_id(self._trace_id)
        try:
            job.store()
        except OrderError as error:
            return record, (Problem(error.code, error.message, error.field),)
        except VisitError as error:
            return record, tuple(Problem(fault.code, fault.message, fault.field) for fault in error.faults)
        return record, ()


def _read_order(record: Record, source: str) -> _Job:
    if record.problem is not None:
        raise DocumentError([record.problem])
    document = read_document(OrderDocument, record.text, what="an order")
    if document.order_id is None:
        raise DocumentError([Problem("MISSING_FIELD", "is required", "orderId")])
    order = document.to_input(document.order_id)
    return _Job(str(order.order_id), partial(store_order, order, source=source))


def _read_visit(record: Record, source: str) -> _Job:
    if record.problem is not None:
        raise DocumentError([record.problem])
    document = read_document(VisitDocument, record.text, what="a visit")
    if document.visit_id is None:
        raise DocumentError([Problem("MISSING_FIELD", "is required", "visitId")])
    reported = document.to_reported()
    store = partial(record_visit, reported.school, reported.visit, source=source, trace_id=current_trace_id())
    return _Job(reported.visit.student.id, store)


def _in_order(started: Iterable[Future[Outcome]]) -> Iterator[Outcome]:
    """Outcomes in the file's order. So few run ahead that a file of any size fits into memory."""
    running: deque[Future[Outcome]] = deque()
    for future in started:
        running.append(future)
        if len(running) > _AHEAD:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
