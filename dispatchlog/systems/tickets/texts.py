"""What a text of tickets may hold. Reads no table."""

from __future__ import annotations

from dispatchlog.systems.tickets.inputs import TicketError

MOST_NAME = 255
MOST_REASON = 500


def one_line(text: str, field: str, *, most: int, code: str = "INVALID_TEXT", needed: bool = False) -> str:
    """The text without blanks around it.

    Raises:
        TicketError: `code`: too long, empty though needed, or with a line break or control character.
    """
    clean = _fitting(text, field, most=most, code=code)
    if needed and not clean:
        raise TicketError("this must not be empty", code=code, field=field)
    if not clean.isprintable():
        raise TicketError("this holds a line break or control character", code=code, field=field)
    return clean


def lines(text: str, field: str, *, most: int, code: str = "INVALID_TEXT") -> str:
    """The text without blanks around it, its lines ending in one way.

    Raises:
        TicketError: `code`: too long, or with a control character.
    """
    clean = _fitting(text.replace("\r\n", "\n").replace("\r", "\n"), field, most=most, code=code)
    if not all(character.isprintable() or character in "\n\t" for character in clean):
        raise TicketError("this holds a control character", code=code, field=field)
    return clean


def reason_given(reason: str, what_for: str, *, least: int = 1) -> str:
    """The reason, which stays in the timeline.

    Raises:
        TicketError: REASON_REQUIRED, INVALID_TEXT.
    """
    clean = lines(reason, "reason", most=MOST_REASON)
    if len(clean) < least:
        characters = f", in {least} characters at least" if least > 1 else ""
        raise TicketError(f"say why {what_for}{characters}", code="REASON_REQUIRED", field="reason")
    return clean


def _fitting(text: str, field: str, *, most: int, code: str) -> str:
    clean = text.strip()
    if len(clean) > most:
        raise TicketError(f"this is longer than {most} characters", code=code, field=field)
    return clean
