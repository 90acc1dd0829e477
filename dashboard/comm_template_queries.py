"""The pages of templates: which there are on a level, and who has some of their own. Owns their SQL; reads only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.systems.outreach.template_values import Template

# Far more than any level has; a page that shows a grid shows all of it.
MOST_ROWS = 1_000
MOST_COUNTED = 1_000
_OF = {"organization": "organization_id = %s", "provider": "provider_id = %s"}
_COLUMNS = "id, name, purpose, channel, language, family, version, is_active, updated_at"


def templates_of(level: str, owner_id: UUID | None) -> list[dict[str, Any]]:
    """All of a level (`global`: everybody's); the active one of a place first."""
    own = _OF.get(level)
    where = own or "organization_id IS NULL AND provider_id IS NULL"
    return fetch_dicts(
        f"SELECT {_COLUMNS} FROM comm_templates WHERE {where} ORDER BY is_active DESC, lower(name), id LIMIT {MOST_ROWS}",
        (owner_id,) if own else (),
    )


def owners_with_templates(level: str) -> set[UUID]:
    """Whoever has a template of their own at this level."""
    column = f"{level}_id"
    rows = fetch_dicts(
        f"SELECT DISTINCT {column} AS id FROM comm_templates WHERE {column} IS NOT NULL LIMIT {MOST_ROWS}"
    )
    return {row["id"] for row in rows}


def owner_name(organization_id: UUID | None, provider_id: UUID | None) -> str:
    """Whose template it is, by name; "" for everybody's."""
    table, owner_id = ("comm_providers", provider_id) if provider_id else ("comm_organizations", organization_id)
    rows = fetch_dicts(f"SELECT name FROM {table} WHERE id = %s", (owner_id,)) if owner_id else []
    return str(rows[0]["name"]) if rows else ""


def place_of(one: Template) -> list[dict[str, Any]]:
    """All templates of one's place, the active one first."""
    return fetch_dicts(
        f"SELECT {_COLUMNS} FROM comm_templates WHERE purpose = %s AND channel = %s AND language = %s"
        " AND family = %s AND organization_id IS NOT DISTINCT FROM %s AND provider_id IS NOT DISTINCT FROM %s"
        " ORDER BY is_active DESC, updated_at DESC LIMIT 50",
        (str(one.purpose), str(one.channel), one.language, one.family, one.organization_id, one.provider_id),
    )
