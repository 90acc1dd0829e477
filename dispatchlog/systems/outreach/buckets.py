"""Drawing the same lot for a patient whoever asks and however often: a number from 0 to 9,999 by patient and salt. Pure.

The database draws the same one (`comm_bucket`), so what was drawn for a million patients there can be checked for one here.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

BUCKETS = 10_000


def bucket(patient_id: UUID, salt: str) -> int:
    """The patient's number under this salt; numbers under two salts tell nothing of each other."""
    digest = hashlib.sha256(patient_id.bytes + salt.encode()).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS
