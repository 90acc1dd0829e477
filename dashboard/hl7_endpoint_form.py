"""The form of a school's endpoint: its parts and fields in words, and what somebody entered. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES, MESSAGES
from dispatchlog.systems.hl7.records import VisitKind
from dispatchlog.systems.hl7.school_settings import SWITCHES, read, write
from dispatchlog.systems.hl7.schools import SECRETS, SETTINGS, SchoolError


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as the form asks for it; `kind` is text, number, switch, choice, pem, table, secret or messages.

    A `wide` one has a line of its own.
    """

    name: str
    label: str
    hint: str = ""
    kind: str = "text"
    choices: tuple[tuple[str, str], ...] = ()
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Some settings that belong together."""

    id: str
    title: str
    words: str
    fields: tuple[Field, ...]


_HD = "A name both sides agreed on, or NAME^UNIVERSAL ID^TYPE."
PARTS = (
    Part(
        "where",
        "Where messages go",
        "As the exchange told you. MLLP takes host and port, HTTPS takes the address.",
        (
            Field("enabled", "Messages leave by this endpoint", "Off: they are stored and wait.", "switch"),
            Field(
                "transport",
                "Transport",
                kind="choice",
                choices=(("MLLP", "MLLP over TCP"), ("HTTPS", "HTTPS")),
                wide=True,
            ),
            Field("host", "Host", "For MLLP: a name or an address."),
            Field("port", "Port", "For MLLP; 2575 is usual.", "number"),
            Field("tls", "MLLP over TLS", "Off only on a private line.", "switch"),
            Field("url", "Address", "For HTTPS, such as https://exchange.example.org/hl7.", wide=True),
        ),
    ),
    Part(
        "trust",
        "Who proves what",
        "Keys are kept encrypted and never shown again, not even to you.",
        (
            Field(
                "server_name", "Name in the exchange's certificate", "Only where it is not the host's name.", wide=True
            ),
            Field("ca_pem", "Authority of the exchange", "PEM. Empty: the authorities this machine trusts.", "pem"),
            Field("client_certificate_pem", "Our certificate", "PEM, where the exchange asks for one.", "pem"),
            Field("client_key_pem", "Our certificate's key", "PEM, without a passphrase.", "secret"),
            Field("api_key", "API key", "For HTTPS.", "secret"),
            Field(
                "api_key_header",
                "Header of the API key",
                "In Authorization it is sent as a bearer token.",
            ),
        ),
    ),
    Part(
        "says",
        "What messages say",
        "It counts for visits that are stored from now on. A stored message leaves as it is.",
        (
            Field("sending_application", "Sending application (MSH-3)", _HD),
            Field("sending_facility", "Sending facility (MSH-4)", _HD),
            Field("receiving_application", "Receiving application (MSH-5)", _HD),
            Field("receiving_facility", "Receiving facility (MSH-6)", _HD),
            Field("patient_authority", "Who numbers students", "Assigning authority of the student's number."),
            Field("national_authority", "Who numbers identity cards", "Assigning authority of the Emirates ID."),
            Field("visit_authority", "Who numbers visits", "Assigning authority of the visit's number."),
            Field(
                "message_type_form",
                "Message type (MSH-9)",
                kind="choice",
                choices=(("FULL", "ADT^A04^ADT_A01"), ("SHORT", "ADT^A04")),
            ),
            Field("control_id_length", "Length of control ids (MSH-10)", "12 to 20 characters.", "number"),
            Field(
                "processing_id",
                "Processing (MSH-11)",
                kind="choice",
                choices=(("P", "P, production"), ("T", "T, training"), ("D", "D, debugging")),
            ),
        ),
    ),
    Part(
        "messages",
        "Which message a visit makes",
        "",
        (Field("messages", "Messages", kind="messages"),),
    ),
    Part(
        "answers",
        "How answers are read",
        "Usually AA and CA mean sent; AE and CE failed, but with error 206 or 207 try again; AR and CR try again, but with"
        " error 200 to 203 failed.",
        (
            Field(
                "acknowledgements",
                "What is different here",
                "One rule a line: the answer, with its error if one matters, and what it means, which is SENT, DUPLICATE,"
                " RETRY or FAILED. Such as AE:207 FAILED, or *:205 DUPLICATE.",
                "table",
            ),
        ),
    ),
    Part(
        "pace",
        "Pace and tries",
        "",
        (
            Field("rate_per_second", "Messages per second", "Empty: as fast as it answers.", "number"),
            Field("batch", "Messages taken at once", "1 to 1000.", "number"),
            Field("max_retries", "Retries", "After so many a message is failed.", "number"),
            Field(
                "first_retry_seconds",
                "Seconds until the first retry",
                "Each next one waits twice as long.",
                "number",
            ),
            Field(
                "in_line",
                "One message holds all later ones",
                "Off: one that waits or failed holds only the later ones of its own student.",
                "switch",
            ),
            Field(
                "dedupes",
                "The exchange recognises a resend by its control id",
                "Off: after a doubtful try a person decides.",
                "switch",
            ),
        ),
    ),
    Part(
        "limits",
        "Time limits",
        "",
        (
            Field("deadline_seconds", "Seconds for one message", "With its answer; at most 120.", "number"),
            Field("connect_seconds", "Seconds to connect", "At most 60.", "number"),
            Field(
                "idle_seconds",
                "Seconds a connection is kept",
                "0: a connection for each message.",
                "number",
            ),
            Field("max_reply_bytes", "Longest answer in bytes", "256 to 16777216.", "number"),
        ),
    ),
)
LABELS = {each.name: each.label for part in PARTS for each in part.fields}
USUAL = {str(kind): (MESSAGES[kind], kind.capitalize()) for kind in VisitKind}
MESSAGE_CHOICES = tuple(MESSAGE_TYPES)


@dataclass(slots=True)
class Entered:
    """What somebody entered: the values that differ from the stored ones, and what is wrong, by setting."""

    texts: dict[str, str]
    changes: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """The stored settings as the form shows them; of secrets nothing."""
    return {name: write(name, row[name]) for name in SETTINGS}


def entered(form: Mapping[str, str], row: Mapping[str, Any]) -> Entered:
    """What the form says, against the row as it is stored."""
    texts = {name: _text_of(name, form) for name in SETTINGS}
    found = Entered(texts)
    for name, text in texts.items():
        try:
            value = read(name, text)
        except SchoolError as error:
            found.problems[name] = in_words(error)
            continue
        if value != row[name]:
            found.changes[name] = value
    for name, (column, _) in SECRETS.items():
        _secret(name, form, found, is_set=row[column] is not None)
    return found


def in_words(error: SchoolError) -> str:
    """The error for people: settings by their labels."""
    label = LABELS.get(error.field, "")
    said = error.message
    if label and said.startswith(f"{error.field} "):
        said = f"this {said.removeprefix(f'{error.field} ')}"
    said = said.removeprefix(f"{error.field}: ").rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."


def _text_of(name: str, form: Mapping[str, str]) -> str:
    if name in SWITCHES:
        return "on" if form.get(name) else "off"
    if name == "messages":
        chosen = {kind: form.get(f"messages.{kind}", "") for kind in USUAL}
        return "\n".join(f"{kind} {said}" for kind, said in chosen.items() if said)
    return form.get(name, "")


def _secret(name: str, form: Mapping[str, str], found: Entered, *, is_set: bool) -> None:
    if form.get(f"{name}.remove"):
        if is_set:
            found.changes[name] = ""
        return
    if not form.get(name, "").strip():
        return
    try:
        found.changes[name] = read(name, form[name])
    except SchoolError as error:
        found.problems[name] = in_words(error)
