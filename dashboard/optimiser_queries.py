"""What the page of the optimiser shows: what was learned of everybody, and the latest choices. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach.optimiser.choosing import CONTENT, EVERYBODY

MOST_ROWS = 15
_MOST_TEXTS = 40


def learned(kind: str) -> Sequence[Row]:
    """Tries and wins of each arm, of everybody and over all contexts."""
    return fetch_dicts(
        "SELECT arm, tries, wins FROM comm_learned WHERE scope_id = %s AND kind = %s AND context = '' AND scope = 'global'"
        " ORDER BY arm",
        (EVERYBODY, kind),
    )


def learned_texts() -> Sequence[Row]:
    """The same of the variants of texts, with the template and its version."""
    return fetch_dicts(
        """
        SELECT t.id, t.name, split_part(l.context, ':', 2) AS version, l.arm, l.tries, l.wins
        FROM (SELECT * FROM comm_learned WHERE scope_id = %s AND kind = %s AND scope = 'global'
            ORDER BY kind, context, scope, arm LIMIT %s) l
        JOIN comm_templates t ON t.id = split_part(l.context, ':', 1)::uuid ORDER BY t.name, l.context, l.arm
        """,
        (EVERYBODY, CONTENT, _MOST_TEXTS),
    )


def latest(kind: str) -> Sequence[Row]:
    """The latest choices of a kind, newest first."""
    return fetch_dicts(
        "SELECT job_id, patient_id, arm, policy, propensity, reward, void, chosen_at FROM comm_choices WHERE kind = %s"
        " ORDER BY chosen_at DESC, job_id DESC LIMIT %s",
        (kind, MOST_ROWS),
    )
