"""What makes two states of the world one: time counts from today, and instants that nothing compares are alike.

Every instant is relative to today, so letting time pass makes the rows older instead of the clock later; beyond the point
where nothing can tell the difference they grow no older.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.exploration.evaluate import Row
from tests.exploration.schema import Table

# One step of time: longer than any deadline, delay or patience, so after it all that waits is due.
DAY = timedelta(days=1)
TODAY = datetime(2025, 6, 1, tzinfo=UTC)
CLAIM = timedelta(milliseconds=1)  # two claims never happen at the same instant
CLAIMS = timedelta(seconds=1)  # later than that is no instant of a claim, but one that something waits for
LONG_AGO = TODAY - DAY
# How long an IDEMPOTENT provider remembers a key, and the age at which it has certainly forgotten it.
KEY_RETENTION = 2.5 * DAY
FORGOTTEN = 4
_KEY_FORGOTTEN = TODAY - FORGOTTEN * DAY


def tidied(table: Table, row: Row) -> Row:
    """The row as it is stored, right after it was written."""
    values = [
        _start_of_day(value) if isinstance(value, datetime) and value < TODAY + CLAIMS else value for value in row
    ]
    if table.is_lane:
        _tidy_claim(table, values, row)
        if values[table.at["sent_at"]] is not None:
            values[table.at["sent_at"]] = LONG_AGO
        if values[table.at["due_at"]] == TODAY:
            values[table.at["due_at"]] = LONG_AGO
    elif table.name == "dispatch_attempts" and values[table.at["sending_at"]] is not None:
        values[table.at["sending_at"]] = LONG_AGO  # what counts is the row's own
    return tuple(values)


def _tidy_claim(table: Table, values: list[Any], row: Row) -> None:
    """Of the claim's instants matters on which day each was, and whether a try before this claim was the first."""
    first, claimed = table.at["first_claimed_at"], table.at["claimed_at"]
    if row[claimed] is not None:
        values[claimed] += CLAIM
    if row[first] is not None and row[first] == row[claimed]:
        values[first] += CLAIM


def _start_of_day(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def aged(table: Table, row: Row) -> Row:
    """The row one day later."""
    values = [value if not isinstance(value, datetime) else max(value - DAY, LONG_AGO) for value in row]
    if table.is_lane:
        for name in ("first_claimed_at", "claimed_at"):
            was = row[table.at[name]]
            if was is not None:
                # Each keeps its place in its day, so which of the two came first is kept too.
                values[table.at[name]] = max(was - DAY, _KEY_FORGOTTEN + (was - _start_of_day(was)))
    return tuple(values)


def shifted(value: Any, by: timedelta) -> Any:
    """The value with its instants moved, as somebody sees it whose today is another day."""
    if isinstance(value, datetime):
        return value + by
    return tuple(shifted(part, by) for part in value) if isinstance(value, tuple) else value
