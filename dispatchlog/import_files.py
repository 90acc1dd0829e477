"""Reading files of orders, one at a time whatever the file's size: JSON arrays, JSON lines and CSV. Never stores anything.

Every order comes as the JSON text that the API would take, with the lines it came from, so that a refusal can be traced
to its line and column.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.order_documents import MAX_KITS, Problem

MAX_RECORD = 256 * 1024
_CHUNK = 64 * 1024
_SPACE = re.compile(r"[ \t\r\n]*")
_ORDER_COLUMNS = {
    "order_id": "orderId",
    "order_number": "orderNumber",
    "practitioner_id": "practitioner.id",
    "practitioner_name": "practitioner.name",
    "practitioner_email": "practitioner.email",
    "status": "status",
    "shipping_date": "shippingDate",
    "tracking_number": "trackingNumber",
    "tracking_url": "trackingUrl",
}
_KIT_COLUMNS = {"kit_id": "kitId", "recipient_email": "recipientEmail"}
COLUMNS = (*_ORDER_COLUMNS, *_KIT_COLUMNS)
_REQUIRED = ("order_id", "order_number")
_COLUMN_OF = {place: column for column, place in _ORDER_COLUMNS.items()} | {"practitioner": "practitioner_id"}
_KIT_PLACE = re.compile(r"kits\[(\d+)\](?:\.(\w+))?")


class ImportRefused(DispatchlogError):
    """The file as a whole cannot be read, and nothing of it was stored; `line` is where, 0 for the whole file.

    Codes: UNKNOWN_FORMAT, NOT_UTF8, EMPTY_FILE, UNKNOWN_COLUMN, DUPLICATE_COLUMN, MISSING_COLUMN, INVALID_SOURCE.
    """

    def __init__(self, message: str, *, code: str, line: int = 0) -> None:
        super().__init__(message, code=code)
        self.line = line


@dataclass(frozen=True, slots=True)
class Record:
    """One order as found: its JSON text, or what is wrong with its lines. After a `last` one nothing can be read."""

    line: int
    text: str = ""
    problem: Problem | None = None
    kit_lines: tuple[int, ...] = ()
    from_csv: bool = False
    last: bool = False

    def locate(self, place: str) -> tuple[int, str]:
        """The line and the file's own name of what the document calls `place`."""
        if not self.from_csv:
            return self.line, place
        kit = _KIT_PLACE.fullmatch(place)
        if kit is None:
            return self.line, _COLUMN_OF.get(place, place)
        column = next((name for name, inner in _KIT_COLUMNS.items() if inner == kit[2]), "kit_id")
        return self.kit_lines[int(kit[1])], column


def count_lines(path: Path) -> int:
    """How many lines the file has.

    Raises:
        ImportRefused: NOT_UTF8 with the line, or EMPTY_FILE; so a half-readable file is not half imported.
    """
    lines, ends = 0, b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            _check_utf8(decoder, chunk, lines + 1)
            lines += chunk.count(b"\n")
            ends = chunk[-1:]
    _check_utf8(decoder, b"", lines + 1, final=True)
    if not ends:
        raise ImportRefused("the file is empty", code="EMPTY_FILE")
    return lines + (ends != b"\n")


def _check_utf8(decoder: codecs.IncrementalDecoder, chunk: bytes, line: int, *, final: bool = False) -> None:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        message = f"line {line} is not UTF-8; save the file as UTF-8 and import it again"
        raise ImportRefused(message, code="NOT_UTF8", line=line) from error


def read_records(path: Path) -> Iterator[Record]:
    """Every order of the file, in order.

    Raises:
        ImportRefused: before the first record, if the file as a whole cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read_csv(file)
    elif suffix in (".json", ".jsonl", ".ndjson"):
        with path.open(encoding="utf-8-sig") as file:
            yield from _read_array(file) if _begins_array(file) else _read_json_lines(file)
    else:
        raise ImportRefused("the file's name must end in .json, .jsonl, .ndjson or .csv", code="UNKNOWN_FORMAT")


def _begins_array(file: TextIO) -> bool:
    while (first := file.read(1)) and first.isspace():
        pass
    file.seek(0)
    return first == "["


def _read_json_lines(file: TextIO) -> Iterator[Record]:
    number = 0
    while line := file.readline(MAX_RECORD + 1):
        number += 1
        if len(line) > MAX_RECORD:
            yield Record(number, problem=Problem("RECORD_TOO_LARGE", "one entry has at most 256 KiB"))
            while line and not line.endswith("\n"):
                line = file.readline(_CHUNK)
        elif line.strip():
            yield Record(number, line)


@dataclass(slots=True)
class _Text:
    """A window on a text file: what was read and not yet used, and on which line that begins."""

    file: TextIO
    text: str = ""
    line: int = 1

    def more(self) -> bool:
        chunk = self.file.read(_CHUNK)
        self.text += chunk
        return bool(chunk)

    def use(self, length: int) -> None:
        self.line += self.text.count("\n", 0, length)
        self.text = self.text[length:]

    def next(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            match = _SPACE.match(self.text)
            self.use(match.end() if match else 0)
            if self.text or not self.more():
                return self.text[:1]


def _read_array(file: TextIO) -> Iterator[Record]:
    window = _Text(file)
    window.next()
    window.use(1)
    if window.next() == "]":
        return
    while True:
        record = _read_entry(window)
        yield record
        if record.last:
            return
        separator = window.next()
        window.use(1)
        if separator == "]" and not window.next():
            return
        if separator != ",":
            yield _broken(window.line, "a comma or the end of the list is missing")
            return


def _read_entry(window: _Text) -> Record:
    window.next()
    while True:
        try:
            _, end = json.JSONDecoder().raw_decode(window.text)
        except (ValueError, RecursionError) as error:
            if len(window.text) <= MAX_RECORD and window.more():
                continue
            line = window.line + getattr(error, "lineno", 1) - 1
            return _broken(line, "this is not JSON, or one entry has more than 256 KiB")
        record = Record(window.line, window.text[:end])
        window.use(end)
        return record


def _broken(line: int, message: str) -> Record:
    return Record(line, problem=Problem("INVALID_JSON", f"{message}; the rest was not read"), last=True)


@dataclass(slots=True)
class _Group:
    """The lines of one order."""

    line: int
    values: dict[str, str]
    kits: list[dict[str, str]] = field(default_factory=list)
    kit_lines: list[int] = field(default_factory=list)
    problem: Problem | None = None
    problem_line: int = 0

    def add(self, line: int, row: dict[str, str]) -> None:
        for column in _ORDER_COLUMNS:
            if row.get(column) and row[column] != self.values.get(column) and column != "order_id":
                message = "differs from the first line of this order; leave it empty or repeat it"
                self.refuse(line, Problem("CONFLICTING_LINES", message, column))
        kit = {name: row[column] for column, name in _KIT_COLUMNS.items() if row.get(column)}
        if kit and len(self.kits) <= MAX_KITS:  # one too many is enough to be refused
            self.kits.append(kit)
            self.kit_lines.append(line)

    def refuse(self, line: int, problem: Problem) -> None:
        if self.problem is None:
            self.problem, self.problem_line = problem, line

    def record(self) -> Record:
        if self.problem is not None:
            return Record(self.problem_line, problem=self.problem)
        document: dict[str, Any] = {"kits": self.kits}
        for column, place in _ORDER_COLUMNS.items():
            if value := self.values.get(column):
                outer, _, inner = place.rpartition(".")
                target = document.setdefault(outer, {}) if outer else document
                target[inner] = value
        return Record(self.line, json.dumps(document), kit_lines=tuple(self.kit_lines), from_csv=True)


def _read_csv(file: TextIO) -> Iterator[Record]:
    rows = csv.reader(file, strict=True)
    header = _read_header(rows)
    group: _Group | None = None
    line = rows.line_num + 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
                order_id = row.get("order_id", "")
                if group is None or not order_id or order_id.lower() != group.values.get("order_id", "").lower():
                    if group is not None:
                        yield group.record()
                    group = _Group(line, row)
                if len(cells) != len(header):
                    message = f"has {len(cells)} columns instead of {len(header)}"
                    group.refuse(line, Problem("WRONG_COLUMN_COUNT", message))
                group.add(line, row)
            line = rows.line_num + 1
    except csv.Error as error:
        # The broken line may belong to the order before it, so that one is not stored without it either.
        yield Record(line, problem=Problem("INVALID_CSV", f"{error}; this order and the rest were not read"), last=True)
        return
    if group is not None:
        yield group.record()


def _read_header(rows: Any) -> Sequence[str]:
    try:
        header = [cell.strip() for cell in next(rows)]
    except (StopIteration, csv.Error) as error:
        raise ImportRefused("the first line must name the columns", code="MISSING_COLUMN", line=1) from error
    for position, column in enumerate(header):
        shown = column[:64] if column.isprintable() else "?"
        if column not in COLUMNS:
            message = f"there is no column {shown!r}; columns are separated by commas and are: {', '.join(COLUMNS)}"
            raise ImportRefused(message, code="UNKNOWN_COLUMN", line=1)
        if column in header[:position]:
            raise ImportRefused(f"the column {shown!r} stands twice", code="DUPLICATE_COLUMN", line=1)
    for column in _REQUIRED:
        if column not in header:
            raise ImportRefused(f"the column {column!r} is missing", code="MISSING_COLUMN", line=1)
    return header
