"""Owns what the error codes of Twilio and WhatsApp mean for a message, in answers and in webhooks alike. Sends nothing.

Twilio: twilio.com/docs/api/errors. WhatsApp: "Error codes" of the Cloud API.
"""

from __future__ import annotations

from enum import Enum, auto


class Meaning(Enum):
    """What follows from a code. OPTED_OUT, OPTED_OUT_MARKETING and WINDOW_CLOSED are a failed job's error code by name."""

    PERMANENT = auto()  # it will not pass as it stands
    TRANSIENT = auto()  # the provider or the number is busy
    SETTING = auto()  # ours is wrong: tried again a few times, then a person corrects it
    OPTED_OUT = auto()  # the patient told the provider to stop: a stop here too
    OPTED_OUT_MARKETING = auto()  # the same for marketing only
    WINDOW_CLOSED = auto()  # free text came too late: a template would pass
    ONCE = auto()  # the phone was off, or nobody knows why: it may be tried once more


_TWILIO = {
    21610: Meaning.OPTED_OUT,
    63016: Meaning.WINDOW_CLOSED,
    **dict.fromkeys((20003, 20005, 20006, 20008, 20404), Meaning.SETTING),
    **dict.fromkeys((20429, 21611, 30001, 63018, 14107), Meaning.TRANSIENT),
    **dict.fromkeys((30003, 30008), Meaning.ONCE),
    **dict.fromkeys((21211, 21408, 21606, 21612, 21614, 21617, 30004, 30005, 30006, 30007), Meaning.PERMANENT),
    **dict.fromkeys((63003, 63024), Meaning.PERMANENT),
}
_WHATSAPP = {
    131047: Meaning.WINDOW_CLOSED,
    131050: Meaning.OPTED_OUT_MARKETING,
    **dict.fromkeys((0, 3, 10, 190, 131005, 131031, 131042, 133010), Meaning.SETTING),
    **dict.fromkeys((4, 80007, 130429, 131048, 131056), Meaning.TRANSIENT),
    131026: Meaning.PERMANENT,
}


def twilio_meaning(code: object) -> Meaning | None:
    """Of a code in an answer (`code`) or a webhook (`ErrorCode`); None: it is not listed here."""
    return _TWILIO.get(_number(code))


def whatsapp_meaning(code: object) -> Meaning | None:
    """Of a code in an answer (`error.code`) or a webhook (`errors[].code`); None: it is not listed here."""
    return _WHATSAPP.get(_number(code))


def _number(code: object) -> int:
    text = "" if isinstance(code, bool) else str(code)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
