"""Whether providers' webhooks have fallen silent or fail, from what was stored and refused. Reads; raises no alert itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Silence:
    """A provider that should have told something: `since` the oldest message it has said nothing of."""

    provider: str
    since: datetime
    messages: int


def silent_providers() -> Sequence[Silence]:
    """Providers of which some messages were accepted longer ago than the settings allow, and no webhook came since."""
    raise NotImplementedError
