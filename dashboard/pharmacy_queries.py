"""The pharmacies' page's queries. Owns their SQL; changes nothing."""

from __future__ import annotations

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Row

PAGE_ROWS = 50


def pharmacies_from(after: str, text: str) -> list[Row]:
    """The pharmacies behind this code, by code, whose code or name holds the text; one more than a page."""
    literal = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return [
        *fetch_dicts(
            "SELECT * FROM pharmacies WHERE code > %s AND (code ILIKE %s OR name ILIKE %s) ORDER BY code LIMIT %s",
            (after, f"%{literal}%", f"%{literal}%", PAGE_ROWS + 1),
        )
    ]


def find_pharmacy(code: str) -> Row | None:
    """The pharmacy of this code; None where there is none."""
    rows = fetch_dicts("SELECT * FROM pharmacies WHERE code = %s", (code.replace("\x00", ""),))
    return rows[0] if rows else None
