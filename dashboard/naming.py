"""What people call a dispatch: its business keys, or in a lane whose keys nobody knows what it is. Owns the choice.

Lists read the name with SQL, where a row has only some of its columns; a whole row is named from what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from dashboard.comm_words import ANSWER_TO, channel_words, message_title, purpose_words
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.systems.outreach.lane import LANE as MESSAGES_TO_PATIENTS
from dispatchlog.systems.outreach.states import Channel, Purpose

log = structlog.get_logger(__name__)


def keys_column(lane: Lane, table: str) -> str:
    """SQL: the keys by which people call a row of that table or alias."""
    if lane.name != MESSAGES_TO_PATIENTS:
        return f"{table}.search_keys"
    purpose = _in_words(f"{table}.purpose", {each: purpose_words(each) for each in Purpose})
    answer = f"'{ANSWER_TO} ' || upper({table}.decision ->> 'answers')"
    channel = _in_words(f"{table}.channel", {each: channel_words(each) for each in Channel})
    return f"ARRAY[coalesce({answer}, {purpose}) || ' by ' || {channel}]::text[]"


def named(lane: Lane, row: Row) -> Row:
    """A whole row with the keys by which people call it in place of its search keys, and with its `recipient`."""
    row = readable(lane, row)
    recipient = row[lane.addressee_column] if lane.addressee_column else None
    keys = [message_title(row)] if lane.name == MESSAGES_TO_PATIENTS else row["search_keys"]
    return {**row, "search_keys": keys, "recipient": recipient}


def readable(lane: Lane, row: Row) -> Row:
    """A row with what was sealed in its columns; as it is where it cannot be opened, for the rest of it is of use."""
    try:
        return lane.opened(row)
    except DispatchlogError:
        log.error("ROW_NOT_OPENED", lane=lane.name, dispatch_id=str(row["id"]))
        return row


def recipient_columns(lane: Lane, table: str) -> str:
    """SQL: to whom a row of that table or alias goes, for `with_recipients`."""
    recipient = f"{table}.{lane.addressee_column}" if lane.addressee_column else "NULL"
    sealed = f"{table}.sealed" if lane.row_seal is not None else "NULL"
    return f"{recipient}::text AS recipient, {sealed}::bytea AS sealed"


def with_recipients(rows: Sequence[Row], lanes: Sequence[Lane]) -> list[Row]:
    """Rows of these lanes that were read with `recipient_columns`, each with its `recipient` opened."""
    by_name = {lane.name: lane for lane in lanes}
    return [_with_recipient(by_name[row["lane"]], row) for row in rows]


def _with_recipient(lane: Lane, row: Row) -> Row:
    recipient = row["recipient"] if row["sealed"] is None else readable(lane, row).get(lane.addressee_column)
    return {**{name: value for name, value in row.items() if name != "sealed"}, "recipient": recipient}


def _in_words(column: str, words: Mapping[str, str]) -> str:
    """SQL: the column's value in words, which are ours and have no quotation mark."""
    cases = " ".join(f"WHEN '{value}' THEN '{said}'" for value, said in words.items())
    return f"CASE {column} {cases} END"
