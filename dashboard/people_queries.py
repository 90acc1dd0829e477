"""The pages' queries over roles and who has them. Owns their SQL; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from dispatchlog.engine.database import fetch_all


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One role as the data has it, and how many active accounts have it."""

    name: str
    description: str
    permissions: tuple[str, ...]
    people: int


def every_role() -> list[RoleFacts]:
    """All roles, those with the fewest permissions first."""
    rows = fetch_all(
        "SELECT r.name, r.description, r.permissions, (SELECT count(*) FROM staff_user_roles ur"
        " JOIN staff_users u ON u.id = ur.user_id WHERE ur.role_id = r.id AND u.active)"
        " FROM staff_roles r ORDER BY cardinality(r.permissions), r.name"
    )
    return [RoleFacts(name, description, tuple(keys), people) for name, description, keys, people in rows]
