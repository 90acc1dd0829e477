"""Who sends to whom, as one school's endpoint has it configured, and control ids. No visit, no database."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import cached_property

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.hl7.encoding import FORBIDDEN, text

LONGEST_CONTROL_ID = 20  # MSH-10, v2.5.1 section 2.15.9.10
SHORTEST_CONTROL_ID = 12
CONTROL_ID = re.compile(r"[A-Za-z0-9._-]{1,20}")
CONTROL_ID_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is taken for another when read aloud
UNIVERSAL_ID_TYPES = (  # table 0301
    *("DNS", "GUID", "HCD", "HL7", "ISO", "L", "M", "N"),
    *("Random", "URI", "UUID", "x400", "x500"),
)
PROCESSING_IDS = ("P", "T", "D")  # table 0103
MESSAGE_TYPE_FORMS = ("FULL", "SHORT")


class IdentityError(DispatchlogError):
    """The configuration cannot stand in a message; `field` names the culprit."""

    code = "INVALID_IDENTITY"

    def __init__(self, message: str, *, field: str, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True)
class Authority:
    """HD (2.A.33): a name that both sides agreed on, or a universal id and its type, or both; all empty: none."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @classmethod
    def parse(cls, value: str) -> Authority:
        """The authority written as in the configuration, NAMESPACE or NAMESPACE^UNIVERSAL ID^TYPE."""
        parts = value.strip().split("^")
        if len(parts) > 3:
            raise IdentityError("an authority has at most three parts, divided by ^", field="")
        return cls(*parts)

    def check(self, field: str) -> None:
        """Raise IdentityError if this cannot be sent."""
        for part, limit in ((self.namespace, 20), (self.universal_id, 199), (self.universal_id_type, 6)):
            if len(part) > limit:
                raise IdentityError(f"{field}: “{part[:30]}” is longer than {limit} characters", field=field)
            if FORBIDDEN.search(part) or part == '""':
                raise IdentityError(f"{field}: a part holds characters that cannot be sent", field=field)
        if bool(self.universal_id) != bool(self.universal_id_type):
            raise IdentityError(f"{field}: a universal id and its type go together", field=field)
        if self.universal_id_type and self.universal_id_type not in UNIVERSAL_ID_TYPES:
            raise IdentityError(f"{field}: the type is one of {', '.join(UNIVERSAL_ID_TYPES)}", field=field)

    @cached_property
    def field(self) -> str:
        """Encoded as a field of its own."""
        return self._joined("^")

    @cached_property
    def component(self) -> str:
        """Encoded as a component of another data type."""
        return self._joined("&")

    def _joined(self, separator: str) -> str:
        parts = (self.namespace, self.universal_id, self.universal_id_type)
        return separator.join(map(text, parts)).rstrip(separator)


NOBODY = Authority()


@dataclass(frozen=True)
class Identity:
    """What a message says of sender and receiver, and whose numbers it uses. Raises IdentityError when it is made.

    `message_type_form` FULL writes MSH-9 as ADT^A04^ADT_A01, SHORT as ADT^A04. `control_id_length` is that of new
    control ids.
    """

    sending_application: Authority
    sending_facility: Authority = NOBODY
    receiving_application: Authority = NOBODY
    receiving_facility: Authority = NOBODY
    patient_authority: Authority = NOBODY
    national_authority: Authority = NOBODY
    visit_authority: Authority = NOBODY
    message_type_form: str = "FULL"
    control_id_length: int = LONGEST_CONTROL_ID
    processing_id: str = "P"

    def __post_init__(self) -> None:
        for name in AUTHORITIES:
            getattr(self, name).check(name)
        if not self.sending_application.field:
            raise IdentityError("sending_application must not be empty", field="sending_application")
        if self.message_type_form not in MESSAGE_TYPE_FORMS:
            raise IdentityError("message_type_form is FULL or SHORT", field="message_type_form")
        if self.processing_id not in PROCESSING_IDS:
            raise IdentityError("processing_id is P, T or D", field="processing_id")
        if not SHORTEST_CONTROL_ID <= self.control_id_length <= LONGEST_CONTROL_ID:
            raise IdentityError("control_id_length is 12 to 20", field="control_id_length")


AUTHORITIES = (
    "sending_application",
    "sending_facility",
    "receiving_application",
    "receiving_facility",
    "patient_authority",
    "national_authority",
    "visit_authority",
)


def new_control_id(length: int = LONGEST_CONTROL_ID) -> str:
    """A message control id nobody has used: 20 characters hold 100 random bits, 12 hold 60."""
    if not SHORTEST_CONTROL_ID <= length <= LONGEST_CONTROL_ID:
        raise ValueError("a control id has 12 to 20 characters")
    number = secrets.randbits(5 * length)
    return "".join(CONTROL_ID_LETTERS[number >> 5 * place & 31] for place in range(length))
