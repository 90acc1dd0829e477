"""What was chosen and what was learned, as the tables keep it: read for many messages at once, and written with them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_all
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.optimiser.choosing import EVERYBODY, OFF, Advice, Choice
from dispatchlog.systems.outreach.optimiser.learning import Level, Tried
from dispatchlog.systems.outreach.optimiser.modes import modes
from dispatchlog.systems.outreach.optimiser.rewards import DISCOUNT, REWARD_HOURS
from dispatchlog.systems.outreach.preferences import Preferences

_LEARNED = f"""
SELECT kind, scope, scope_id, context, arm, tries * {DISCOUNT}, wins * {DISCOUNT} FROM comm_learned l
WHERE scope_id = ANY (%s::uuid[]) AND kind = ANY (%s::text[])
"""
_STORE = """
INSERT INTO comm_choices (job_id, kind, context, patient_id, organization_id, campaign_id, purpose, channel, weekday,
    policy, arms, arm, propensity, look_at)
SELECT * FROM jsonb_to_recordset(%s::jsonb) AS c (job_id uuid, kind text, context text, patient_id uuid,
    organization_id uuid, campaign_id uuid, purpose text, channel text, weekday smallint, policy text, arms jsonb, arm text,
    propensity double precision, look_at timestamptz)
"""
Known = Mapping[tuple[str, str, UUID, str], Level]
"""What is known of the arms, by kind, scope, whose it is and context."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the optimiser knows when several messages are decided."""

    modes: Mapping[str, str]
    known: Known

    def advice(self, preferences: Preferences, *, seed: UUID) -> Advice:
        """For one patient's message, which draws its own lot."""
        return Advice(self.modes, self.known, preferences.patient_id, preferences.organization_id, seed)


def evidence_for(everybody: Iterable[Preferences]) -> Evidence | None:
    """What is known for these patients, in one statement; None, and nothing is asked, where every kind is off."""
    present = modes()
    kinds = [kind for kind, mode in present.items() if mode != OFF]
    if not kinds:
        return None
    patients = [*everybody]
    whose = {EVERYBODY, *(each.patient_id for each in patients)}
    whose |= {each.organization_id for each in patients if each.organization_id}
    return Evidence(present, read_known(whose, kinds))


def read_known(whose: Iterable[UUID], kinds: Sequence[str]) -> Known:
    """What is kept for these, older evidence counting for less."""
    found: dict[tuple[str, str, UUID, str], dict[str, Tried]] = defaultdict(dict)
    for kind, scope, owner, context, arm, tries, wins in fetch_all(_LEARNED, (as_uuids([*whose]), [*kinds])):
        found[kind, scope, owner, context][arm] = Tried(tries, wins)
    return found


def rows_of(choices: Iterable[Choice], row: Mapping[str, Any], *, at: datetime) -> list[dict[str, Any]]:
    """The choices of a message (its job's row) as they are stored; `at` as a clock where the patient is shows it."""
    return [
        {
            "job_id": str(row["id"]),
            "kind": choice.kind,
            "context": choice.context,
            "patient_id": str(row["patient_id"]),
            "organization_id": str(row["organization_id"]) if row["organization_id"] else None,
            "campaign_id": str(row["campaign_id"]) if row["campaign_id"] else None,
            "purpose": row["purpose"],
            "channel": row["channel"],
            "weekday": at.weekday(),
            "policy": choice.policy,
            "arms": dict(choice.arms),
            "arm": choice.arm,
            "propensity": choice.propensity,
            "look_at": (at + timedelta(hours=REWARD_HOURS)).isoformat(),
        }
        for choice in choices
    ]


def store_choices(rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was chosen, in the transaction that stores the messages."""
    if rows:
        execute(_STORE, (json.dumps(rows),))
