"""The pages of schools and their endpoints: what is waiting, failed and last accepted at each. Owns their SQL; reads only.

Counts stop at MOST_COUNTED, so that a page of schools costs the same whatever waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.systems.hl7.endpoints import SELECT

PAGE_ROWS = 50
HISTORY_ROWS = 10
MOST_COUNTED = 100

# The newest sent ones by insertion; one that was retried for long may have been accepted after a newer one.
_FIGURES = """
    (SELECT count(*) FROM (SELECT FROM hl7_messages m WHERE m.school_id = s.id AND m.status = 'PENDING' LIMIT %(most)s) x)
        AS waiting,
    (SELECT count(*) FROM (SELECT FROM hl7_messages m WHERE m.school_id = s.id AND m.status = 'FAILED' LIMIT %(most)s) x)
        AS failed,
    (SELECT max(sent_at) FROM (SELECT m.sent_at FROM hl7_messages m WHERE m.school_id = s.id AND m.status = 'SENT'
        ORDER BY m.seq DESC LIMIT 20) x) AS sent_at
"""
_SCHOOLS = f"""
SELECT s.code, s.name, e.enabled, e.transport, e.host, e.port, e.url, e.tls, {_FIGURES}
FROM schools s JOIN hl7_endpoints e ON e.school_id = s.id
WHERE s.code > %(after)s AND (%(text)s = '' OR strpos(lower(s.code || ' ' || s.name), lower(%(text)s)) > 0)
ORDER BY s.code LIMIT %(limit)s
"""


def schools_from(after: str = "", *, text: str = "") -> list[dict[str, Any]]:
    """A page of schools by code behind `after`, and one more where there are more; `text` is part of a code or name."""
    values = {"after": after, "text": text, "most": MOST_COUNTED + 1, "limit": PAGE_ROWS + 1}
    return fetch_dicts(_SCHOOLS, values)


def endpoint_row(code: str) -> Mapping[str, Any] | None:
    """The stored endpoint with its school; None where there is no such school."""
    found: Sequence[Mapping[str, Any]] = fetch_dicts(f"{SELECT} WHERE s.code = %s", (code,))
    return found[0] if found else None


def figures(code: str) -> Mapping[str, Any]:
    """What waits, failed and was last accepted at one school."""
    return fetch_dicts(
        f"SELECT {_FIGURES} FROM schools s WHERE s.code = %(code)s", {"code": code, "most": MOST_COUNTED + 1}
    )[0]


def history_of(code: str, *, before: int | None = None) -> list[dict[str, Any]]:
    """How the school's endpoint came to be what it is, newest first: one more than a page of changes where there are more,
    from before the one of this id.
    """
    return fetch_dicts(
        "SELECT id, at, actor, action, reason, detail FROM operator_actions WHERE detail ->> 'school' = %s"
        " AND id < %s AND action IN ('school_add', 'hl7_endpoint_change') ORDER BY id DESC LIMIT %s",
        (code, before if before is not None else 2**63 - 1, HISTORY_ROWS + 1),
    )
