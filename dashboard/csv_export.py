"""Lists as CSV for spreadsheets, written while they are read. Knows no list.

A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV Injection, read 2026-11-21).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from flask import Response

# The last four are the full-width forms, which Excel reads as the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Without it Excel reads UTF-8 as the system's own code page.
_BYTE_ORDER_MARK = "\ufeff"


def download(name: str, header: Sequence[str], lots: Iterable[Iterable[Sequence[object]]]) -> Response:
    """The answer that downloads `name`: the header, then the lots of rows, each sent as soon as it is there."""
    response = Response(_lines(header, lots), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def cell(value: object) -> str:
    """A value as a cell's text, which no spreadsheet takes for a formula; instants as ISO 8601 in UTC."""
    if value is None:
        return ""
    text = value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)
    text = text.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _lines(header: Sequence[str], lots: Iterable[Iterable[Sequence[object]]]) -> Iterator[str]:
    yield _BYTE_ORDER_MARK + _written([header])
    for rows in lots:
        yield _written(rows)


def _written(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()
