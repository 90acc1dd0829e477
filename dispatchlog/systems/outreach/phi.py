"""What says something about a patient's health, and so never stands in an SMS or WhatsApp message. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def findings(text: str, *, secrets: Iterable[str] = ()) -> Sequence[str]:
    """What in the text must not leave by a text channel, as codes (DIAGNOSIS, MEDICINE, RESULT, IDENTIFIER, BIRTH_DATE,
    SECRET...): empty where nothing does. `secrets` are the values of variables that are PHI; they count however they are
    written."""
    raise NotImplementedError
