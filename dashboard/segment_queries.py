"""The pages of segments: what rules may name, what names stand behind ids, and who uses a segment. Owns their SQL; reads
only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts

# More cannot be chosen from a list in a page; what is chosen already is always among them.
MOST_CHOICES = 200
MOST_USES = 20
# Far more than anybody writes.
MOST_READ = 1_000
# What rules name by id: the field, and where its names are.
NAMED: Mapping[str, str] = MappingProxyType(
    {
        "organization": "comm_organizations",
        "provider": "comm_providers",
        "campaign": "comm_campaigns",
        "segment": "patient_segments",
    }
)
_OF_USE = MappingProxyType({"patient_segments": " WHERE is_active"})
MOST_NAMES = 500


@dataclass(frozen=True, slots=True)
class Use:
    """What names a segment: a campaign with its status, or another segment."""

    kind: str
    id: UUID
    name: str
    status: str = ""


def choices(field: str, *, but: UUID | None = None) -> list[tuple[str, str]]:
    """What a field that names something can be: ids and names, by name; without the segment that is being written."""
    table = NAMED[field]
    rows = fetch_dicts(
        f"SELECT id, name FROM {table}{_OF_USE.get(table, '')} ORDER BY lower(name), id LIMIT {MOST_CHOICES}"
    )
    return [(str(row["id"]), row["name"]) for row in rows if row["id"] != but]


def names_of(field: str, ids: Iterable[UUID]) -> dict[str, str]:
    """The names of these, by id; of what there is not, nothing."""
    wanted = sorted(set(ids))[:MOST_NAMES]
    if not wanted:
        return {}
    rows = fetch_dicts(f"SELECT id, name FROM {NAMED[field]} WHERE id = ANY(%s::uuid[])", (wanted,))
    return {str(row["id"]): row["name"] for row in rows}


def uses_of(segment_ids: Iterable[UUID]) -> dict[UUID, list[Use]]:
    """Who names each of these segments: campaigns that are not over, and other segments; at most so many of each."""
    wanted = sorted(set(segment_ids))
    found: dict[UUID, list[Use]] = {each: [] for each in wanted}
    if not wanted:
        return found
    for row in _campaigns(wanted):
        found[row["segment_id"]].append(Use("campaign", row["id"], row["name"], row["status"]))
    for row in fetch_dicts(
        f"SELECT id, name, rules FROM patient_segments WHERE is_active ORDER BY lower(name), id LIMIT {MOST_READ}"
    ):
        for each in named_in(row["rules"]).get("segment", set()) & found.keys():
            found[each].append(Use("segment", row["id"], row["name"]))
    return found


def _campaigns(segment_ids: list[UUID]) -> list[dict[str, Any]]:
    return fetch_dicts(
        "SELECT c.segment_id, c.id, c.name, c.status FROM unnest(%s::uuid[]) s (id) CROSS JOIN LATERAL"
        " (SELECT * FROM comm_campaigns c WHERE c.segment_id = s.id AND c.status <> 'completed'"
        f" ORDER BY lower(c.name), c.id LIMIT {MOST_USES}) c",
        (segment_ids,),
    )


def named_in(document: Any) -> dict[str, set[UUID]]:
    """The ids that a rule document names, by the field that names them."""
    found: dict[str, set[UUID]] = {}
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping) or part.get("disabled") or part.get("muted"):
            continue
        waiting += part["rules"] if isinstance(part.get("rules"), list) else []
        value, field = part.get("value"), part.get("field")
        if isinstance(value, Mapping):
            waiting.append(value)
        elif field in NAMED:
            found.setdefault(str(field), set()).update(_ids(value))
    return found


def _ids(value: Any) -> set[UUID]:
    found = set()
    for each in value if isinstance(value, list) else [value]:
        try:
            found.add(UUID(str(each)))
        except ValueError:
            continue
    return found
