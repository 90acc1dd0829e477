"""Owns what the optimiser chose in the past, for tests: messages as they stand now, and long logs of closed choices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import psycopg2

from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.optimiser.choosing import CHANNEL, HOLDOUT, is_held_out, shares_of

ARMS = ("email", "sms", "whatsapp")
LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC)
_LOG = """
INSERT INTO comm_choices (job_id, kind, context, patient_id, purpose, channel, weekday, policy, arms, arm, propensity,
    reward, opted_out, chosen_at, closed_at)
SELECT gen_random_uuid(), 'channel', 'rx_refill', patient_id, 'rx_refill', 'sms', 1, policy, arms, arm, propensity, reward,
    opted_out, chosen_at, closed_at
FROM jsonb_to_recordset(%s::jsonb) AS c (patient_id uuid, policy text, arms jsonb, arm text, propensity float,
    reward smallint, opted_out boolean, chosen_at timestamptz, closed_at timestamptz)
"""


@contextmanager
def rewriting_the_past() -> Iterator[Any]:
    """A cursor for which no trigger and no other table says what may be."""
    connection = psycopg2.connect(get_settings().database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            yield cursor
    finally:
        connection.close()


def stands(job_id: UUID, **columns: Any) -> None:
    """Say how a message stands now."""
    sets = ", ".join(f"{name} = %s" for name in columns)
    with rewriting_the_past() as cursor:
        cursor.execute(f"UPDATE comm_jobs SET {sets} WHERE id = %s", (*columns.values(), str(job_id)))


def log(
    *, patients: int, each: int, has_favourite: bool = True, opted_out: tuple[float, float] = (0, 0), seed: int = 1
) -> None:
    """Closed choices of a channel in the course of a hundred days, made in mode `learning`: patients who answer one
    channel most, or all alike. `opted_out`: how often the hold-out's and the others want no more."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(patients):
        patient_id = UUID(bytes=rng.bytes(16), version=4)
        favourite = int(rng.integers(3)) if has_favourite else None
        policy = HOLDOUT if is_held_out(patient_id) else "explore"
        shares = shares_of(policy, CHANNEL, ARMS, [], default="email", rng=rng)
        for turn in range(each):
            arm = int(rng.choice(3, p=shares))
            at = LONG_AGO + timedelta(days=100 * turn / each, minutes=1_000 * float(rng.random()))
            rows.append(
                {
                    "patient_id": str(patient_id),
                    "policy": policy,
                    "arms": dict(zip(ARMS, map(float, shares), strict=True)),
                    "arm": ARMS[arm],
                    "propensity": float(shares[arm]),
                    "reward": int(rng.random() < (0.6 if arm == favourite else 0.1)),
                    "opted_out": bool(rng.random() < opted_out[policy != HOLDOUT]),
                    "chosen_at": at.isoformat(),
                    "closed_at": (at + timedelta(days=3)).isoformat(),
                }
            )
    with rewriting_the_past() as cursor:
        cursor.execute(_LOG, (json.dumps(rows),))


def choice(job_id: UUID, patient_id: UUID, kind: str = "hour", arm: str = "08-10", **columns: Any) -> None:
    """What was chosen for a message, open and to be looked at now unless `columns` say otherwise."""
    row = {
        "job_id": str(job_id),
        "kind": kind,
        "context": "sms:1",
        "patient_id": str(patient_id),
        "purpose": "rx_refill",
        "channel": "sms",
        "weekday": 1,
        "policy": "explore",
        "arms": json.dumps({arm: 0.5, "another": 0.5}),
        "arm": arm,
        "propensity": 0.5,
        "look_at": datetime.now(UTC) - timedelta(hours=1),
        **columns,
    }
    names = ", ".join(row)
    with rewriting_the_past() as cursor:
        cursor.execute(
            f"INSERT INTO comm_choices ({names}) VALUES ({', '.join(['%s'] * len(row))})", tuple(row.values())
        )
