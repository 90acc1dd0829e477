"""`comm_audit_log`: who did what with a patient's communication. Append-only; owns the writing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts, insert_many, require_transaction
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.states import AuditAction

_LONGEST_AGENT = 512


def note(action: AuditAction, patient_id: UUID | None, asker: Asker, details: Mapping[str, Any]) -> None:
    """Write one line in the caller's transaction; `details` hold ids, codes and names of fields, never an address or text.

    Raises:
        NotInTransaction: outside a transaction.
    """
    note_many([(action, patient_id, asker, details)])


def note_many(lines: Iterable[tuple[AuditAction, UUID | None, Asker, Mapping[str, Any]]]) -> None:
    """The same for many lines, in one statement."""
    require_transaction()
    values = [
        (
            patient_id,
            asker.user_id,
            str(action),
            asker.actor,
            json.dumps(dict(details), default=str),
            asker.ip_address,
            asker.user_agent[:_LONGEST_AGENT] if asker.user_agent else None,
        )
        for action, patient_id, asker, details in lines
    ]
    if values:
        insert_many(
            "INSERT INTO comm_audit_log (patient_id, user_id, action, actor, details, ip_address, user_agent) VALUES %s",
            values,
        )


def history(patient_id: UUID, *, limit: int = 200) -> list[dict[str, Any]]:
    """A patient's newest lines first."""
    return fetch_dicts(
        "SELECT * FROM comm_audit_log WHERE patient_id = %s ORDER BY id DESC LIMIT %s", (patient_id, limit)
    )
