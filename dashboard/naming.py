"""What people call a dispatch: its business keys, or in a lane whose keys nobody knows what it is. Owns the choice.

Lists read the name with SQL, where a row has only some of its columns; a whole row is named from what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.comm_words import ANSWER_TO, channel_words, message_title, purpose_words
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.systems.outreach.lane import LANE as MESSAGES_TO_PATIENTS
from dispatchlog.systems.outreach.states import Channel, Purpose


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
    recipient = row[lane.addressee_column] if lane.addressee_column else None
    keys = [message_title(row)] if lane.name == MESSAGES_TO_PATIENTS else row["search_keys"]
    return {**row, "search_keys": keys, "recipient": recipient}


def _in_words(column: str, words: Mapping[str, str]) -> str:
    """SQL: the column's value in words, which are ours and have no quotation mark."""
    cases = " ".join(f"WHEN '{value}' THEN '{said}'" for value, said in words.items())
    return f"CASE {column} {cases} END"
