"""What a kit is known by: its id without the blanks around it, upper and lower case being the same. Owns this rule alone.

Two services may spell one kit's id in two ways, and it is still registered once and gets one form. Only the letters of
ASCII have a case here, in Python as in PostgreSQL whatever its locale; an id with other letters is never registered.
The unique keys of the database (`models`) are made of the same expression.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from dispatchlog.settings import get_settings

# What the log can hold of an id, in characters; a longer one is none that a kit registry would know.
KIT_ID_LENGTH = 64
_BLANKS = " \t\r\n"
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def kit_name(kit_id: str) -> str:
    """The name of the kit that `kit_id` spells."""
    return kit_id.strip(_BLANKS).translate(_LOWER)


def first_spellings(kit_ids: Iterable[str]) -> dict[str, str]:
    """Each kit's name with its id as it is spelt first, without the blanks around it; an empty id is no kit yet."""
    spellings: dict[str, str] = {}
    for kit_id in kit_ids:
        if name := kit_name(kit_id):
            spellings.setdefault(name, kit_id.strip(_BLANKS))
    return spellings


def name_of(column: str) -> str:
    """The name as SQL, for a column of kit ids."""
    return f"lower(btrim({column}::text, E' \\t\\r\\n') COLLATE \"C\")"


def kits_of_orders() -> str:
    """SQL of the kits of the orders `%(orders)s` (uuid[]): order_id, name, kit_id, recipient_email, registration_id and
    registered_at, one row per kit, however many spellings of it an upstream table holds.

    The id is spelt as it was first; an empty one is no kit yet, and an empty recipient is none.
    """
    name = name_of("kit_id")
    return (
        f"(SELECT order_id, {name} AS name, (array_agg(btrim(kit_id::text, E' \\t\\r\\n') ORDER BY id))[1] AS kit_id,"
        " (array_agg(btrim(recipient_email) ORDER BY id) FILTER (WHERE btrim(recipient_email) <> ''))[1]"
        " AS recipient_email,"
        " (array_agg(registration_id ORDER BY id) FILTER (WHERE registration_id IS NOT NULL))[1] AS registration_id,"
        f" min(registered_at) AS registered_at FROM {get_settings().order_kits_table}"
        f" WHERE order_id = ANY (%(orders)s::uuid[]) AND {name} <> '' GROUP BY 1, 2)"
    )
