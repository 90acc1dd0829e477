"""Going through a filtered list row by row: which place a dispatch has in the list that its page was opened from, and which
stand beside it. Shows; changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask import request, url_for

from dashboard.asked import Asked, read_address
from dashboard.context import back_or
from dashboard.days import instant_of, microseconds_of
from dashboard.filter_words import in_words
from dashboard.filters import Position
from dashboard.queries import COUNT_LIMIT, Count, list_query, place_query, sort_value
from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Row


@dataclass(frozen=True, slots=True)
class Walk:
    """A dispatch in its list. `place` is where it stood when it was opened, and stays so when an action takes it out of
    the list (`left`) or to another end of it; `back` is the list's address, `words` its filter.
    """

    place: int
    words: str
    before: Count
    behind: Count
    left: bool
    previous: Row | None
    following: Row | None
    back: str

    @property
    def standing(self) -> str:
        """Its place in words."""
        whole = Count(self.before.number + self.behind.number + (not self.left))
        if self.left:
            return (
                f"No longer in this list, which holds {whole}"
                if whole
                else "No longer in this list, which is empty now"
            )
        if not self.before.is_exact:
            return f"Behind the first {COUNT_LIMIT:,} of this list"
        return f"{self.before.number + 1:,} of {whole} in this list"

    def address(self, row: Row) -> str:
        """The page of a neighbour, in the same list."""
        place = microseconds_of(row["sort_at"])
        return url_for("dispatch.show", lane_name=row["lane"], dispatch_id=row["id"], back=self.back, place=place)


def walk_from(row: Row) -> Walk | None:
    """Where the row (with its `lane`) stands in the list that the request came from; None where it came from no list, or
    the row has nothing that this list orders by.
    """
    back = back_or("")
    asked = read_address(back) if back else None
    if asked is None:
        return None
    at = place_given() or sort_value(asked.wanted, row)
    if at is None:
        return None
    here = Position(at, row["id"])
    before, behind, there = fetch_one(*place_query(asked.wanted, asked.lanes, here, of=row["lane"]))
    return Walk(
        place=microseconds_of(at),
        words=in_words(asked.wanted),
        before=Count(before),
        behind=Count(behind),
        left=not there,
        previous=_beside(asked, replace(here, newer=True)),
        following=_beside(asked, here),
        back=back,
    )


def place_given() -> datetime | None:
    """Where the row stood in its list when it was opened, if the request says so in a way that can be read."""
    try:
        return instant_of(request.values.get("place", ""))
    except (ValueError, OverflowError):
        return None


def _beside(asked: Asked, position: Position) -> Row | None:
    """The next row in the position's direction; the one at it may by now stand somewhere beyond it itself."""
    sql, params = list_query(replace(asked.wanted, position=position), asked.lanes, limit=2)
    found: Sequence[Row] = fetch_dicts(sql, params) if sql else []
    return next((row for row in found if row["id"] != position.id), None)
