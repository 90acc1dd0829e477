"""Which variant a patient gets and who is in the control group: drawn by patient and campaign, the same whoever asks.

Python and SQL draw alike (`buckets`), so what a statement drew for a million patients can be checked for one here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.buckets import BUCKETS, bucket

_PERCENT = BUCKETS // 100


def control_salt(campaign_id: UUID) -> str:
    """Another salt than the variants', so that the control group tells nothing of them."""
    return f"control:{campaign_id}"


def is_held_out(patient_id: UUID, campaign_id: UUID, percent: int) -> bool:
    """Whether the patient is drawn for the control group of so many per cent."""
    return bucket(patient_id, control_salt(campaign_id)) < percent * _PERCENT


def variant_of(patient_id: UUID, campaign_id: UUID, shares: Sequence[tuple[str, int]]) -> str:
    """The variant that the patient draws by the weights; "" where there are none."""
    drawn = bucket(patient_id, str(campaign_id))
    return next((key for key, ends in _ends(shares) if drawn < ends), "")


def variant_sql(bucket_sql: str, shares: Sequence[tuple[str, int]]) -> tuple[str, list[Any]]:
    """The same as an expression of SQL over a bucket, with its parameters in order."""
    if not shares:
        return "''", []
    cases = " ".join(f"WHEN {bucket_sql} < %s THEN %s" for _ in shares)
    return f"CASE {cases} END", [value for key, ends in _ends(shares) for value in (ends, key)]


def held_out_sql(bucket_sql: str, percent: int) -> tuple[str, list[Any]]:
    """`is_held_out` over a bucket under `control_salt`."""
    return f"{bucket_sql} < %s", [percent * _PERCENT]


def _ends(shares: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Before which bucket each variant ends; the last one at the last bucket, however the weights are rounded."""
    total = sum(weight for _, weight in shares)
    ends = (so_far * BUCKETS // total for so_far in accumulate(weight for _, weight in shares))
    return [(key, end) for (key, _), end in zip(shares, ends, strict=True)]
