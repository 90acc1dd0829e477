"""Addresses of patients: made uniform, sealed for storing, hashed for finding. Knows no table."""

from __future__ import annotations

import hmac
from uuid import UUID

import phonenumbers

from dispatchlog.engine.errors import CannotCompose
from dispatchlog.keys.columns import CONTACTS
from dispatchlog.sealing import find_key, seal, unseal
from dispatchlog.systems.mail import recipient_address
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel

_HASHED_FOR = "patient look-up"


def normalise(channel: Channel, address: str, *, country: str = "", field: str = "") -> str:
    """The address as it is stored and sent to: an e-mail address in ASCII with its domain in lower case, or E.164.

    `country` (ISO 3166-1 alpha-2) is where a number without its country code belongs.

    Raises:
        OutreachError: INVALID_EMAIL, INVALID_PHONE (checked by libphonenumber); the address is not repeated.
    """
    if channel is Channel.EMAIL:
        try:
            local, _, domain = recipient_address(address.strip()).rpartition("@")
        except CannotCompose as error:
            raise OutreachError("this is not an e-mail address", code="INVALID_EMAIL", field=field) from error
        return f"{local}@{domain.lower()}"
    try:
        number = phonenumbers.parse(address.strip(), country or None)
    except phonenumbers.NumberParseException as error:
        raise OutreachError("this is not a telephone number", code="INVALID_PHONE", field=field) from error
    if not phonenumbers.is_valid_number(number):
        raise OutreachError("there is no such telephone number", code="INVALID_PHONE", field=field)
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def address_hash(channel: Channel, address: str) -> bytes:
    """32 bytes by which a normalised address is found; the text channels share one, for a number is a number."""
    kind = "email" if channel is Channel.EMAIL else "phone"
    text = address.lower() if channel is Channel.EMAIL else address
    return hmac.digest(find_key(_HASHED_FOR), f"{kind}:{text}".encode(), "sha256")


def word_hash(word: str) -> bytes:
    """32 bytes by which a word of a name is found, whatever its case."""
    return hmac.digest(find_key(_HASHED_FOR), f"name:{word.casefold()}".encode(), "sha256")


def seal_text(text: str, owner: UUID) -> bytes:
    """A patient's name or address as it may be stored; it opens for this patient's id only."""
    return seal(text, purpose=CONTACTS, owner=str(owner))


def open_text(sealed: bytes | memoryview | None, owner: UUID) -> str | None:
    """What `seal_text` sealed; None stays None.

    Raises:
        CannotUnsealError: it was sealed for another patient, or under another secret key.
    """
    if sealed is None:
        return None
    return unseal(bytes(sealed), purpose=CONTACTS, owner=str(owner))
