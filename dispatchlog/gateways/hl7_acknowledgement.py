"""Owns reading an acknowledgement and what it means for the message; never sends, never resends.

MSA is HL7 v2.5.1 section 2.15.8, ERR section 2.15.5, the codes of MSA-1 table 0008, those of ERR-3 table 0357. Exchanges
disagree on what their refusals mean, so the meaning is a table of each endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Receipt
from dispatchlog.gateways.hl7_message import MalformedMessageError, Message, field_of

MAX_KEPT_CHARACTERS = 4_096
_MAX_TEXT = 300
_ERROR_CODE = re.compile(r"[A-Za-z0-9._-]{1,20}")
_RULE = re.compile(r"(?:AA|AE|AR|CA|CE|CR)(?::[A-Za-z0-9._-]{1,20})?|\*:[A-Za-z0-9._-]{1,20}")
_POSITIVE = ("AA", "CA")
_CODES = ("AA", "AE", "AR", "CA", "CE", "CR")


class BadDecisionTableError(ValueError):
    """A rule that no acknowledgement could match, or a decision that does not exist."""


class Decision(StrEnum):
    """What an acknowledgement means for its message."""

    SENT = "SENT"
    DUPLICATE = "DUPLICATE"  # the endpoint has it from an earlier try
    RETRY = "RETRY"
    FAILED = "FAILED"


# The strictest of several errors decides.
_STRICTNESS = (Decision.SENT, Decision.DUPLICATE, Decision.RETRY, Decision.FAILED)
_USUAL: Mapping[str, Decision] = {
    "AA": Decision.SENT,
    "CA": Decision.SENT,
    "AE": Decision.FAILED,
    "CE": Decision.FAILED,
    "AR": Decision.RETRY,
    "CR": Decision.RETRY,
    "*:205": Decision.FAILED,  # duplicate key identifier
    **{
        f"{code}:{error}": Decision.RETRY for code in ("AE", "CE") for error in ("206", "207")
    },  # locked; internal error
    # Unsupported message type, event, processing id, version.
    **{f"{code}:{error}": Decision.FAILED for code in ("AR", "CR") for error in ("200", "201", "202", "203")},
}


@dataclass(frozen=True, slots=True)
class Error:
    """One ERR segment: its code (ERR-3.1) and severity (ERR-4)."""

    code: str
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One acknowledgement: MSA-1, MSA-2, its words and its errors."""

    code: str
    control_id: str
    text: str = ""
    errors: tuple[Error, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """Rules of one endpoint: `AE:207` before `*:207` before `AE`. Keys and values are plain strings, fit for JSON."""

    rules: Mapping[str, Decision] = field(default_factory=lambda: _USUAL)

    @classmethod
    def with_changes(cls, changes: Mapping[str, str]) -> DecisionTable:
        """The usual table with an endpoint's own rules in place of the usual ones. Raises BadDecisionTableError."""
        for rule, decision in changes.items():
            if not _RULE.fullmatch(rule):
                raise BadDecisionTableError(f"The rule {rule!r} must look like AE, AE:207 or *:205.")
            if decision not in list(Decision):
                raise BadDecisionTableError(f"The rule {rule} must say one of {', '.join(Decision)}.")
        return cls({**_USUAL, **{rule: Decision(decision) for rule, decision in changes.items()}})

    def decide(self, acknowledgement: Acknowledgement) -> tuple[Decision, str]:
        """What the acknowledgement means, and the error that decides. Warnings and notes (ERR-4 W and I) change nothing."""
        code = acknowledgement.code
        errors = [error.code for error in acknowledgement.errors if error.severity.upper() not in ("W", "I")]
        found = [(self._rule(code, error), error) for error in errors]
        return max(found or [(self.rules[code], "")], key=lambda each: _STRICTNESS.index(each[0]))

    def _rule(self, code: str, error: str) -> Decision:
        keys = [f"{code}:{error}", code] if code in _POSITIVE else [f"{code}:{error}", f"*:{error}", code]
        return next(self.rules[key] for key in keys if key in self.rules)


def parse_acknowledgement(data: bytes) -> Acknowledgement:
    """An acknowledgement from its bytes. Raises MalformedMessageError."""
    message = Message.parse(data)
    found = message.named("MSA")
    if len(found) != 1:
        raise MalformedMessageError("it has no MSA" if not found else "it has several MSA")
    msa = found[0]
    code, control_id = field_of(msa, 1), field_of(msa, 2)
    if code not in _CODES:
        raise MalformedMessageError("MSA-1 is no acknowledgement code")
    errors = [_error(message, segment) for segment in message.named("ERR")]
    errors.append(Error(message.first_component(field_of(msa, 6))))  # before v2.5 errors could stand here
    told = [field_of(msa, 3), *(field_of(segment, 8) or field_of(segment, 7) for segment in message.named("ERR"))]
    return Acknowledgement(
        code,
        control_id,
        next((text for text in told if text), ""),
        tuple(error for error in errors if _ERROR_CODE.fullmatch(error.code) and error.code != "0"),
    )


def _error(message: Message, segment: list[str]) -> Error:
    code = message.first_component(field_of(segment, 3))
    if not code:  # v2.3 and v2.4: ERR-1 is segment^sequence^field^code&text
        parts = field_of(segment, 1).split(message.component)
        code = parts[3].split(message.subcomponent)[0] if len(parts) > 3 else ""
    return Error(code, message.first_component(field_of(segment, 4)))


def kept(data: bytes) -> str:
    """What came, fit for a JSON column: never longer than `MAX_KEPT_CHARACTERS`, without NUL."""
    return data[: 4 * MAX_KEPT_CHARACTERS].decode("utf-8", "replace").replace("\x00", "\ufffd")[:MAX_KEPT_CHARACTERS]


def match(reply: bytes, control_id: str, *, evidence: Mapping[str, Any] | None = None) -> Acknowledgement:
    """The acknowledgement in `reply`, if it is this message's.

    Raises:
        OutcomeUnknown: MALFORMED_REPLY, or ACKNOWLEDGEMENT_MISMATCH: it names another message.
    """
    known = {**(evidence or {}), "acknowledgement": kept(reply)}
    try:
        acknowledgement = parse_acknowledgement(reply)
    except MalformedMessageError as error:
        raise OutcomeUnknown(
            f"The answer is no acknowledgement ({error}).", code="MALFORMED_REPLY", evidence=known
        ) from error
    if acknowledgement.control_id != control_id:
        raise OutcomeUnknown(
            "The acknowledgement is for another message (MSA-2 is not our MSH-10).",
            code="ACKNOWLEDGEMENT_MISMATCH",
            evidence=known,
        )
    return acknowledgement


def settle(
    acknowledgement: Acknowledgement, table: DecisionTable, reply: bytes, *, evidence: Mapping[str, Any] | None = None
) -> Receipt:
    """The receipt, where the table says that the message arrived; `provider_message_id` is its control id.

    Error messages hold codes only: an exchange's own words may repeat what they refuse, and stay in the evidence.

    Raises:
        Transient, Permanent: ACK_<code> or ACK_<code>_<error>.
    """
    decision, deciding = table.decide(acknowledgement)
    error_codes = [error.code for error in acknowledgement.errors]
    known: dict[str, Any] = {**(evidence or {}), "code": acknowledgement.code, "acknowledgement": kept(reply)}
    if error_codes:
        known["errors"] = error_codes
    if acknowledgement.text:
        known["text"] = kept(acknowledgement.text.encode())[:_MAX_TEXT]
    if decision is Decision.DUPLICATE:
        known["duplicate"] = True
    if decision in (Decision.SENT, Decision.DUPLICATE):
        return Receipt(acknowledgement.control_id, known)
    said = acknowledgement.code + (f" error {deciding}" if deciding else "")
    code = "_".join(filter(None, ["ACK", acknowledgement.code, deciding]))
    kind: type[GatewayError] = Transient if decision is Decision.RETRY else Permanent
    verb = "cannot take the message now" if decision is Decision.RETRY else "refuses the message"
    health = Health.BUSY if decision is Decision.RETRY else Health.WELL
    raise kind(f"The endpoint {verb} ({said}).", code=code, evidence=known, health=health)
