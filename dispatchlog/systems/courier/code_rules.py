"""What a delivery code is: derived from a key, checked by a keyed hash. Pure; owns no row.

Neither code nor key is ever stored: whoever has the database cannot try the million codes without the key.
"""

from __future__ import annotations

import hmac
import re
from uuid import UUID

from dispatchlog.sealing import find_key

DIGITS = 6
MOST_TRIES = 5
_CODE = re.compile(r"[0-9]{6}")


def code_of(dispatch_id: UUID, counter: int) -> str:
    """The code: six decimal digits, the same whenever it is asked for."""
    drawn = _keyed("delivery code", f"{dispatch_id}:{counter}")
    # 64 bits over a million codes: none is likelier than another by more than one in 10^13.
    return f"{int.from_bytes(drawn[:8], 'big') % 10**DIGITS:0{DIGITS}d}"


def hash_of(dispatch_id: UUID, counter: int, code: str) -> bytes:
    """What is stored instead of the code: 32 bytes that tell nothing without the key."""
    return _keyed("delivery code hash", f"{dispatch_id}:{counter}:{code}")


def is_right(dispatch_id: UUID, counter: int, code: str, stored: bytes) -> bool:
    """Whether this is the code whose hash is stored; takes as long for every wrong one."""
    return hmac.compare_digest(hash_of(dispatch_id, counter, code), bytes(stored))


def is_well_formed(code: str) -> bool:
    """Six ASCII digits."""
    return _CODE.fullmatch(code) is not None


def _keyed(purpose: str, text: str) -> bytes:
    return hmac.digest(find_key(purpose), text.encode(), "sha256")
