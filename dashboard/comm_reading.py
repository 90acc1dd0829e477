"""That somebody reads what patients wrote, for their audit: once in so many minutes for each patient and reader."""

from __future__ import annotations

from collections.abc import Sequence

from flask_login import current_user

from dashboard.comm_patient_queries import not_looked_at
from dashboard.context import acting_person
from dashboard.outreach_asking import outreach_asker
from dispatchlog.engine.database import transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach import audit
from dispatchlog.systems.outreach.states import AuditAction

# The pages read themselves again every few seconds, and what comes meanwhile is read too.
READ_MINUTES = 60


def keep_reading(rows: Sequence[Row]) -> None:
    """Write down of whom these rows of a page are, where that is not kept yet."""
    whose = [row["patient_id"] for row in rows if row["patient_id"]]
    if fresh := not_looked_at(whose, current_user.id, minutes=READ_MINUTES):
        asker = outreach_asker()
        with transaction(acting_person(), "read what patients wrote"):
            audit.note_many((AuditAction.ACCESS, each, asker, {"what": "inbox"}) for each in fresh)
