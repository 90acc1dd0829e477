"""The queries of the page of defaults: who says something, and whom it reaches. Owns their SQL; changes nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dashboard.queries import COUNT_LIMIT, Count
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row

MOST_OWNERS = 200

_TABLES = {"organization": "comm_organizations", "provider": "comm_providers"}


def owners(level: str) -> list[Row]:
    """Organisations or providers by name, with whether they say something of their own."""
    return [
        *fetch_dicts(
            f"SELECT o.id, o.name, d.updated_at AS said_at FROM {_TABLES[level]} o"
            " LEFT JOIN comm_pref_defaults d ON d.level = %s AND coalesce(d.owner_id, %s) = o.id"
            " ORDER BY o.name, o.id LIMIT %s",
            (level, UUID(int=0), MOST_OWNERS),
        )
    ]


def owner(level: str, owner_id: UUID) -> Row | None:
    """One of them; None where there is none."""
    rows = fetch_dicts(f"SELECT id, name FROM {_TABLES[level]} WHERE id = %s", (owner_id,))
    return rows[0] if rows else None


def reached(level: str, owner_id: UUID | None) -> Count:
    """How many patients are of this organisation or provider, or there are at all; it stops at the count limit."""
    values: tuple[Any, ...]
    if level == "global":
        sql, values = "SELECT FROM patients ORDER BY created_at, id LIMIT %s", ()
    elif level == "provider":
        sql, values = "SELECT FROM patients WHERE provider_id = %s LIMIT %s", (owner_id,)
    else:
        sql = (
            "SELECT FROM ((SELECT id FROM patients WHERE organization_id = %s LIMIT %s) UNION"
            " (SELECT p.id FROM comm_providers v JOIN patients p ON p.provider_id = v.id AND p.organization_id IS NULL"
            " WHERE v.organization_id = %s LIMIT %s)) p LIMIT %s"
        )
        values = (owner_id, COUNT_LIMIT + 1, owner_id, COUNT_LIMIT + 1)
    return Count(int(fetch_all(f"SELECT count(*) FROM ({sql}) c", (*values, COUNT_LIMIT + 1))[0][0]))


def nearer(level: str, owner_id: UUID | None) -> list[Row]:
    """Who says something nearer to the patients, by name, with when: theirs goes before this."""
    if level == "provider":
        return []
    if level == "organization":
        return [
            *fetch_dicts(
                "SELECT 'provider' AS level, v.id, v.name, d.updated_at FROM comm_providers v"
                " JOIN comm_pref_defaults d ON d.level = 'provider' AND coalesce(d.owner_id, %s) = v.id"
                " WHERE v.organization_id = %s ORDER BY v.name LIMIT %s",
                (UUID(int=0), owner_id, MOST_OWNERS),
            )
        ]
    return [
        *fetch_dicts(
            "SELECT d.level, d.owner_id AS id, coalesce(o.name, v.name) AS name, d.updated_at FROM comm_pref_defaults d"
            " LEFT JOIN comm_organizations o ON d.level = 'organization' AND o.id = d.owner_id"
            " LEFT JOIN comm_providers v ON d.level = 'provider' AND v.id = d.owner_id"
            " WHERE d.level IN ('organization', 'provider') ORDER BY d.level, 3 LIMIT %s",
            (MOST_OWNERS,),
        )
    ]
