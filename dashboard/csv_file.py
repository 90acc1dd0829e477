"""CSV as spreadsheets read it, and as none of them runs it. Owns the escaping; knows no row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# Without it Excel takes UTF-8 for the machine's old code page.
BYTE_ORDER_MARK = "\ufeff"
# What a spreadsheet takes for the beginning of a formula, also after it has dropped the mark before it.
# OWASP, "CSV Injection", read 2026-11: = + - @, tab and carriage return; the wide forms mean the same in some locales.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def safe_cell(value: Any) -> str:
    """The value as text that no spreadsheet calculates; an apostrophe in front makes it text."""
    text = "" if value is None else str(value).replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """These rows as CSV lines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def csv_pages(head: Sequence[str], pages: Iterable[Iterable[Sequence[Any]]]) -> Iterator[str]:
    """A whole file, a page at a time."""
    yield BYTE_ORDER_MARK + csv_text([head])
    for page in pages:
        yield csv_text(page)
