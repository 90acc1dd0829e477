"""What a short answer means: confirm, reschedule, stop, start, help, or something for a person. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from dispatchlog.systems.outreach.states import Intent


@dataclass(frozen=True, slots=True)
class Reading:
    """`confidence` from 0 to 1; below `SURE` a person decides. `language` is that of the words that decided, or "".
    `because` is what decided, for pages."""

    intent: Intent
    confidence: float
    language: str
    because: str


SURE = 0.8


def read_reply(body: str, *, asks: str = "", language: str = "", provider_opt_out: str = "") -> Reading:
    """What it means. `asks` is "confirmation" where the newest message to this address that is still open asks for one: then
    YES confirms (else it is START where the address is stopped), and CANCEL alone is about the appointment, unless other
    words say that it is about messages. A plain opt-out is STOP whatever was asked."""
    raise NotImplementedError
