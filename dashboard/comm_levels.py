"""For whom a text or a preference is: everybody's, an organisation's or a provider's patients, as an address asks."""

from __future__ import annotations

from types import MappingProxyType
from uuid import UUID

from flask import abort, request

from dashboard.comm_preference_queries import owner

EVERYBODY = "global"
LEVELS = MappingProxyType({EVERYBODY: "Everybody", "organization": "Clinics", "provider": "Providers"})


def level_asked() -> tuple[str, UUID | None]:
    """Which level the address asks for, and whose; 404 for one that there is not."""
    level = request.values.get("level", EVERYBODY)
    if level not in LEVELS:
        abort(404)
    try:
        owner_id = UUID(request.values["of"]) if request.values.get("of") and level != EVERYBODY else None
    except ValueError:
        abort(404)
    if owner_id is not None and owner(level, owner_id) is None:
        abort(404)
    return level, owner_id
