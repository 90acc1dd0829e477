"""Plain words of the order pages: states, what the gate waits for, effects, refusals. Owns the words; reads no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dashboard.wording import State
from dispatchlog.engine.lanes import Row

BOOKING_IN_DOUBT: Final = "BOOKING_IN_DOUBT"

# Every order is in one of these. The last seven are the courier's, in its order; those before them are ours.
ORDER_STATES: Final[Mapping[str, State]] = MappingProxyType(
    {
        state.key: state
        for state in (
            State("UNPAID", "Waiting for payment", "clock", "wait", "A courier is booked once it is paid and ready."),
            State("NOT_READY", "Not ready", "box", "wait", "It is paid. Mark it ready once it is prepared."),
            State("NO_COURIER", "Waiting for a courier", "clock", "doubt", "Paid and ready, but no courier is set up."),
            State("REFUNDED", "Refunded", "ban", "off", "The payment was given back, so it will not be dispatched."),
            State("BOOKING", "Booking", "send", "busy", "The courier is being asked to fetch it."),
            State("BOOKING_FAILED", "Booking failed", "x", "bad", "The courier has no booking. A person has to act."),
            State("BOOKED", "Booked", "check", "busy", "The courier has the booking; no driver yet."),
            State("ASSIGNED", "Driver assigned", "person", "busy", "A driver is on the way to the pharmacy."),
            State("PICKED_UP", "Picked up", "box", "busy", "The driver has it from the pharmacy."),
            State("IN_TRANSIT", "On the way", "truck", "busy", "It is on the way to the patient."),
            State("DELIVERED", "Delivered", "check", "good", "The patient has it. Final."),
            State(
                "FAILED", "Delivery failed", "x", "bad", "The courier could not deliver it. It can be dispatched again."
            ),
            State("CANCELED", "Canceled", "ban", "off", "The booking was taken back. It can be dispatched again."),
        )
    }
)
_IN_DOUBT = State(
    BOOKING_IN_DOUBT,
    "Booking in doubt",
    "help",
    "doubt",
    "The courier may or may not have the booking. Settle it first.",
)

# The way of an order that goes well, as the track shows it; where it ends otherwise, that stands in place of the last.
TRACK: Final = ("BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED")

WAITING_FOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PAYMENT_NOT_CAPTURED": "It waits for the payment.",
        "NOT_MARKED_READY": "It waits until somebody marks it ready.",
        "NO_COURIER": "It waits for a courier: none is set up.",
    }
)

CONFIRMED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {"otp": "by the patient's code", "courier": "by the courier", "staff": "by staff, without the code"}
)

SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "booking": "Answer to our call",
        "webhook": "Told by the courier",
        "poll": "Found by asking",
        "otp": "Delivery code",
        "staff": "Set by hand",
    }
)

# What an event did; nothing is said of one that moved the order on.
EFFECTS: Final[Mapping[str | None, str]] = MappingProxyType(
    {
        None: "Not applied yet.",
        "MOVED": "",
        "NOTED": "",
        "BEHIND": "It came late: the order was further along already.",
        "UNKNOWN": "This word of the courier is not known here, so the status stayed as it was.",
        "UNMATCHED": "It belongs to no dispatch that is known yet.",
        "SUPERSEDED": "It is about an earlier attempt, so it moved nothing.",
    }
)

# What a person reads when something could not be done: what it means and what to do, by stable code.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ORDER_NOT_FOUND": "There is no such order any more.",
        "DISPATCH_NOT_FOUND": "No courier has been booked for this order yet. Look at where the order stands.",
        "DISPATCH_ALREADY_DELIVERED": "It was delivered already. This page showed it as it was before; it is current now.",
        "DISPATCH_NOT_CANCELLABLE": "It can no longer be canceled: the driver has it, or it has ended.",
        "DISPATCH_NOT_REPEATABLE": "It can be dispatched again only after it failed or was canceled.",
        "DISPATCH_NOT_IN_TRANSIT": "It is not on the way, so there is nothing to confirm. Look at where the order stands.",
        "DISPATCH_SUPERSEDED": "It was dispatched again since, so this attempt is not changed any more.",
        "BOOKING_IN_DOUBT": "The courier may or may not have the booking. Settle that doubt first.",
        "PAYMENT_NOT_CAPTURED": "It is not paid. Verify the payment first.",
        "NO_COURIER": "No courier is set up to book with. Tell an administrator.",
        "OTP_MALFORMED": "A delivery code has six digits. Enter all of them.",
        "OTP_INVALID": "That is not the code. Ask the patient to read it out again and re-enter it.",
        "OTP_EXPIRED": "The code has expired. Send a new one, then ask the patient for it.",
        "OTP_LOCKED": "The code is locked after too many wrong tries.",
        "CODE_LOCKED": "The code is locked after too many wrong tries. Give new tries first.",
        "CODE_SENT_JUST_NOW": "The code was sent just now. Wait half a minute before it is sent again.",
        "CODE_NOT_LOCKED": "The code is not locked; it can be entered as it is.",
        "STATUS_NOT_ALLOWED": "It cannot be set to that status, or has it already.",
        "REASON_REQUIRED": "Say why: the reason stays with the order.",
    }
)

# The codes that programs and logs use, what each means and what to do, for the help page.
RESOLUTIONS: Final = (
    (
        "DISPATCH_CREATION_FAILED",
        "The courier could not be booked.",
        "Open the booking and read what the courier said, or its log; then mark the order ready again.",
    ),
    ("OTP_INVALID", "The delivery code is not right.", "Re-enter the code that the patient reads out."),
    ("DISPATCH_NOT_FOUND", "The order has no dispatch of this id.", "Look at where the order stands."),
    (
        "DISPATCH_ALREADY_DELIVERED",
        "It was delivered before.",
        "The page was out of date. Report it if it happens again.",
    ),
    ("PAYMENT_NOT_CAPTURED", "The order is not paid.", "Verify the payment; the courier is then booked by itself."),
    ("SOCKET_AUTH_FAILED", "The live connection was refused.", "Sign in again."),
)

_PLACES: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(("JPY", "KRW", "UGX", "RWF", "XOF", "XAF", "VND", "CLP"), 0),
        **dict.fromkeys(("KWD", "BHD", "OMR", "JOD", "TND"), 3),
    }
)

MESSAGES: Final[Mapping[str, str]] = MappingProxyType({"CODE": "Delivery code", "UPDATE": "Update"})


@dataclass(frozen=True, slots=True)
class Promise:
    """How an order stands against the time it was promised for: words, icon and tone."""

    words: str
    icon: str
    tone: str


def state_key(row: Row) -> str:
    """The key of the state that an order (with `booking_status` and `booking_in_doubt`) is in."""
    status = row["dispatch_status"]
    if status == "REQUESTED":
        return "BOOKING_FAILED" if row["booking_status"] == "FAILED" else "BOOKING"
    if status is not None:
        return str(status)
    if row["payment_status"] == "Refunded":
        return "REFUNDED"
    if row["payment_status"] != "Paid":
        return "UNPAID"
    return "NO_COURIER" if row["is_ready_for_dispatch"] else "NOT_READY"


def order_state(row: Row) -> State:
    """How the state is shown; a booking in doubt goes by its own name."""
    key = state_key(row)
    return _IN_DOUBT if key == "BOOKING_FAILED" and row["booking_in_doubt"] else ORDER_STATES[key]


def money(currency: str, minor: int) -> str:
    """An amount in the currency's minor unit, as people write it (ISO 4217: a few currencies have none, or thousandths)."""
    places = _PLACES.get(currency, 2)
    return f"{currency} {minor / 10**places:,.{places}f}"


def courier_title(name: str) -> str:
    """A courier's name as people write it."""
    return name.replace("_", " ").replace("-", " ").title()


def refusal(code: str, message: str) -> str:
    """Why something was not done, as a sentence."""
    if words := REFUSALS.get(code):
        return words
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."
