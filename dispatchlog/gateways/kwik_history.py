"""Whether Kwik's order history has a booking of ours. Owns when "absent" is proved; asks through a function, sends nothing.

The history is listed newest first, page by page, by rows of an unknown make. A reference of ours anywhere in a row proves
that row. Absence is proved only where the whole time since the sending was seen without a gap, and every row of it bears a
reference of ours, so that Kwik does tell references; everything else leaves the doubt to a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from dispatchlog.gateways.courier_words import reference

PAGE = 50
MOST_PAGES = 40
_OURS = re.compile(r"Ref [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CREATED = ("creation_datetime", "created_at", "creation_date")

Row = Mapping[str, Any]
Page = Callable[[int, int], Any]


@dataclass(slots=True)
class Search:
    """What was found. `rows` are those of the booking; `absent` is proved where there are none; `why` not, where not."""

    rows: list[Row] = field(default_factory=list)
    absent: bool = False
    why: str = ""
    seen: int = 0


class _UnsureError(Exception):
    """What was read proves nothing."""


def search(page: Page, mark: str, *, since: datetime, offset_minutes: int) -> Search:
    """Page back to `since`. `page(limit, skip)` gives what Kwik answers; what it raises passes through."""
    seen: dict[str, Row] = {}
    zone = timedelta(minutes=offset_minutes)
    try:
        for _ in _pages(page, seen):
            found = [row for row in seen.values() if mark in _told(row)]
            if found:
                return Search(rows=_whole(found, seen.values()), seen=len(seen))
            if _is_older([_latest(row, zone) for row in seen.values()], since):
                break
    except _UnsureError as error:
        return Search(why=str(error), seen=len(seen))
    return _judged(seen.values(), since, zone)


def _pages(page: Page, seen: dict[str, Row]) -> Iterator[None]:
    """Read page after page into `seen`, until the history's end.

    Each page begins with the last row of the one before: where that is gone, rows have moved up, and one may have slipped
    by unseen. A short page is no end: Kwik may give fewer rows than it is asked for.
    """
    last = ""
    for _ in range(MOST_PAGES):
        rows = _rows(page(PAGE, max(0, len(seen) - 1)))
        keys = [_key(row) for row in rows]
        if last and last not in keys:
            raise _UnsureError("the history moved while it was read")
        news = {key: row for key, row in zip(keys, rows, strict=True) if key not in seen}
        seen.update(news)
        yield
        if not news:
            if _rows(page(PAGE, len(seen))):
                raise _UnsureError("the end of the history was not found")
            return
        last = keys[-1]
    raise _UnsureError("the history is too long")


def _judged(rows: Collection[Row], since: datetime, zone: timedelta) -> Search:
    """Absent, where every booking that is not certainly from before `since` is another one of ours."""
    bookings: dict[str, bool] = {}
    for row in rows:
        at = _latest(row, zone)
        if at is not None and at < since:
            continue
        name = reference(row.get("unique_order_id")) or _key(row)
        bookings[name] = bookings.get(name, False) or bool(_OURS.search(_told(row)))
    if all(bookings.values()):
        return Search(absent=True, seen=len(rows))
    strange = sum(not ours for ours in bookings.values())
    return Search(why=f"{strange} bookings of that time bear no reference of ours", seen=len(rows))


def _is_older(latest: Sequence[datetime | None], since: datetime) -> bool:
    """Whether the rows run back in time without exception, and the last is from before `since`."""
    known = [at for at in latest if at is not None]
    falls = len(known) == len(latest) and all(one >= two for one, two in pairwise(known))
    return bool(known) and falls and known[-1] < since


def _latest(row: Row, zone: timedelta) -> datetime | None:
    """When it was made, at the latest: an instant without a zone may be Kwik's local time, or UTC."""
    said = next((row[name] for name in _CREATED if isinstance(row.get(name), str)), "")
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return None
    if at.tzinfo is not None:
        return at
    return max(at.replace(tzinfo=UTC), at.replace(tzinfo=UTC) - zone)


def _rows(answer: Any) -> list[Row]:
    """The rows of a page: a list, or the one list in an object. Raises _UnsureError: it is none."""
    lists = [answer] if isinstance(answer, list) else []
    if isinstance(answer, dict):
        lists = [value for value in answer.values() if isinstance(value, list)]
    if len(lists) != 1 or not all(isinstance(row, dict) for row in lists[0]):
        raise _UnsureError("the history cannot be read")
    return list(lists[0])


def _whole(found: Sequence[Row], rows: Iterable[Row]) -> list[Row]:
    """The rows found, with the other legs of the first booking among them; the oldest booking comes first."""
    name = reference(found[-1].get("unique_order_id"))
    legs = [row for row in rows if name and reference(row.get("unique_order_id")) == name]
    return [*legs, *(row for row in found if row not in legs)]


def _key(row: Row) -> str:
    """What makes a row the same one when it is listed again."""
    name = reference(row.get("job_id")) or reference(row.get("unique_order_id"))
    return name or _told(row)


def _told(row: Row) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, default=str)
