"""A row as somebody may read it who asks for their own data: what is sealed in it is opened. Reads no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.engine import content
from dispatchlog.keys.columns import by_table
from dispatchlog.row_content import PAYLOADS, SEALED, SealedRow
from dispatchlog.sealing import unseal

_ROWS = {column.table: column for column in SEALED if isinstance(column, SealedRow)}
_ENDING = "_sealed"


def opened(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of this table with its content in the columns where it was before it was sealed, and no sealed value.

    A text that is sealed by itself comes under its column's name without `_sealed`.

    Raises:
        CannotUnsealError: a value was sealed for another row, or under another secret key.
    """
    if table == PAYLOADS.table:
        return _payload(row)
    if table in _ROWS:
        return {name: value for name, value in _ROWS[table].opened(row).items() if name != PAYLOADS.column}
    done = dict(row)
    for column in by_table().get(table, ()):
        sealed = done.pop(column.column)
        text = None if sealed is None else unseal(bytes(sealed), purpose=column.purpose, owner=str(row[column.owner]))
        done[column.column.removesuffix(_ENDING)] = text
    return done


def _payload(row: Mapping[str, Any]) -> dict[str, Any]:
    done = {name: value for name, value in row.items() if name != PAYLOADS.column}
    letter = content.opened(row, PAYLOADS)
    if letter is not None:
        done["recipient"], done["headers"], done["body"] = letter
    return done
