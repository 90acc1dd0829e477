"""A list as a file: CSV or JSON, streamed. Reads page by page on short queries and keeps who took what; changes no row."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import structlog
from flask import Blueprint, Response, abort, request

from dashboard.access import EXPORT, needs
from dashboard.asked import read_filter
from dashboard.connection import DATABASE_ERRORS
from dashboard.context import acting_person
from dashboard.csv_file import BYTE_ORDER_MARK, csv_text
from dashboard.filter_words import in_words
from dashboard.filters import ListFilter
from dashboard.masking import mask, mask_text
from dashboard.naming import with_recipients
from dashboard.presentation import business_keys
from dashboard.queries import export_query
from dashboard.wording import IN_DOUBT
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import log_action

log = structlog.get_logger(__name__)
pages = Blueprint("export", __name__)

PAGE_ROWS = 1_000


def instant_text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


_FIELDS: MappingProxyType[str, Callable[[Row], Any]] = MappingProxyType(
    {
        "lane": lambda row: row["lane"],
        "id": lambda row: str(row["id"]),
        "keys": lambda row: business_keys(row["search_keys"]),
        "status": lambda row: IN_DOUBT if row["in_doubt"] else row["status"],
        "recipient": lambda row: mask(row["recipient"]) or None,
        "attempts": lambda row: row["attempts"],
        "cause": lambda row: row["last_error_code"],
        "error": lambda row: mask_text(row["last_error"]) or None,
        "created_at": lambda row: instant_text(row["created_at"]),
        "due_at": lambda row: instant_text(row["due_at"]),
        "expires_at": lambda row: instant_text(row["expires_at"]),
        "changed_at": lambda row: instant_text(row["updated_at"]),
        "sent_at": lambda row: instant_text(row["sent_at"]),
    }
)


class ListFile:
    """One file while it is read: its `fields`, and pages of rows by them. It is logged when it begins and when it ends,
    whoever ends it: `close` comes from the server also when the reader has hung up.

    No connection is held between pages, so a slow reader holds up nobody.
    """

    fields: Sequence[str] = ()

    def __init__(self, *, form: str, actor: str) -> None:
        self._form, self._actor = form, actor
        self._lines = self._csv() if form == "csv" else self._json()
        self._rows = 0
        self._complete = self._ended = False
        self._log("export")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            self._complete = True
            self.close()
            raise

    def close(self) -> None:
        """Note how far it came."""
        if self._ended:
            return
        self._ended = True
        self._lines.close()
        try:
            self._log("export_ended", rows=self._rows, complete=self._complete)
        except DATABASE_ERRORS as error:
            log.warning("EXPORT_NOT_LOGGED", error=type(error).__name__, rows=self._rows)

    def about(self) -> tuple[str | None, dict[str, Any]]:
        """The lane that the file is of (None: more than one, or none) and what else is kept of it."""
        raise NotImplementedError

    def pages(self) -> Generator[list[dict[str, Any]], None, None]:
        """The rows, a page at a time, masked."""
        raise NotImplementedError

    def csv_rows(self, page: list[dict[str, Any]]) -> list[list[Any]]:
        """The page as lines of the file."""
        return [[_flat(value) for value in row.values()] for row in page]

    def _log(self, action: str, **more: Any) -> None:
        lane, detail = self.about()
        log_action(self._actor, action, lane=lane, detail={**detail, "format": self._form, **more})

    def _counted(self) -> Generator[list[dict[str, Any]], None, None]:
        for page in self.pages():
            self._rows += len(page)
            yield page

    def _csv(self) -> Generator[str, None, None]:
        yield BYTE_ORDER_MARK + csv_text([list(self.fields)])
        for page in self._counted():
            yield csv_text(self.csv_rows(page))

    def _json(self) -> Generator[str, None, None]:
        yield "["
        between = "\n"
        for page in self._counted():
            yield between + ",\n".join(json.dumps(row, ensure_ascii=False) for row in page)
            between = ",\n"
        yield "\n]\n"


class Export(ListFile):
    """The file of a list of dispatches."""

    fields = tuple(_FIELDS)

    def __init__(self, wanted: ListFilter, lanes: Sequence[Lane], *, form: str, actor: str) -> None:
        self._wanted, self._lanes = wanted, lanes
        super().__init__(form=form, actor=actor)

    def about(self) -> tuple[str | None, dict[str, Any]]:
        return self._wanted.lane.name if self._wanted.lane else None, {"filter": in_words(self._wanted)}

    def pages(self) -> Generator[list[dict[str, Any]], None, None]:
        for lane in self._lanes:
            before = None
            while True:
                sql, params = export_query(self._wanted, lane, before=before, limit=PAGE_ROWS)
                with connected():
                    rows = with_recipients(fetch_dicts(sql, params), [lane]) if sql else []
                if rows:
                    yield [{name: value(row) for name, value in _FIELDS.items()} for row in rows]
                    before = rows[-1]["id"]
                if len(rows) < PAGE_ROWS:
                    break


TYPES = MappingProxyType({"csv": "text/csv", "json": "application/json"})


@pages.post("/dispatches/export")
@needs(EXPORT)
def dispatches() -> Response:
    """The list that the address asks for, as a file in the `format` of the form."""
    form = request.form.get("format", "csv")
    if form not in TYPES:
        abort(400, "A file is csv or json.")
    asked = read_filter()
    if asked.problems:
        # Half a filter would let out more than was meant.
        abort(400, " ".join(asked.problems))
    file = Export(asked.wanted, asked.lanes, form=form, actor=acting_person())
    return attachment(file, "dispatches", form)


def attachment(lines: Any, name: str, form: str) -> Response:
    """A file to be kept, named after the instant it was asked for."""
    answer = Response(lines, mimetype=TYPES[form])
    file_name = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.{form}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return answer


def _flat(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
