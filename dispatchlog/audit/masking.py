"""What an auditor sees of a row without identifiers: who is who stays apart, and nobody can be told. Pure; knows no table.

The same person or thing has the same stand-in within one export, so what belongs together is seen; what people wrote, and
where they were, is left out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "•••"
# Free text, and what holds anything: of these only that there is something.
_LEFT_OUT: Final = frozenset(
    ("reason", "detail", "details", "payload", "user_agent", "ip_address", "filter", "database_user")
)
_NUMBERED: Final = frozenset(
    (
        "dispatch_id",
        "order_id",
        "ticket_id",
        "patient_id",
        "person_id",
        "party_id",
        "user_id",
        "subject",
        "audience",
        "claim_token",
    )
)
# An actor is a person, by address or number; a service, a worker or the clock names nobody.
_PERSON = re.compile(r"@|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def masked(row: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The row with stand-ins made under the export's own key."""
    return {name: _cell(name, value, key) for name, value in row.items()}


def _cell(name: str, value: Any, key: bytes) -> Any:
    if value is None or value in ("", [], {}):
        return value
    if name in _LEFT_OUT:
        return HIDDEN
    if name in _NUMBERED or (name == "id" and isinstance(value, str)) or (name == "actor" and _PERSON.search(value)):
        return [_stand_in(each, key) for each in value] if isinstance(value, list) else _stand_in(value, key)
    return value


def _stand_in(value: object, key: bytes) -> str:
    return f"p-{hmac.digest(key, str(value).encode(), hashlib.sha256).hex()[:16]}"
