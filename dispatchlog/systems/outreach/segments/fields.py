"""The catalogue of what rules may ask: each field's name, words, kind, operators and choices. Holds no SQL.

A value that is not known fulfils no condition but `null` and those that say "not"; each of these is exactly the opposite
of its other. Texts are compared without regard to the case of A to Z, days are those of UTC. `bucket` is a share drawn at
random (0 to 99) that is the same for a patient for ever and in every segment: below 10 is a tenth, 10 to 19 another one.
`language` and `timezone` are what the patient chose, else what the core platform reported; no default is looked up. An
organisation is the patient's, else their provider's. `messages` are those that were sent, `events` those of the patient and
of their appointments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatchlog.systems.outreach.states import Channel, Intent, Purpose, PurposeClass

BOOLEAN, CHOICE, COLLECTION, INSTANT, NUMBER = "boolean", "choice", "collection", "instant", "number"
ORGANIZATION, PROVIDER, CAMPAIGN, SEGMENT, SET, TEXT = "organization", "provider", "campaign", "segment", "set", "text"
# Kinds whose values are ids of what stands elsewhere.
IDS = frozenset({ORGANIZATION, PROVIDER, CAMPAIGN, SEGMENT})
MODES: Mapping[str, str] = {
    "some": "at least one",
    "all": "every one",
    "none": "none",
    "atLeast": "at least so many",
    "atMost": "at most so many",
    "exactly": "exactly so many",
}
# The most of each unit that "within the last ..." may look back or ahead: some ten years.
UNITS: Mapping[str, int] = {"hours": 87_600, "days": 3_650, "weeks": 520, "months": 120}

_KNOWN = ("null", "notNull")
_EQUAL = ("=", "!=", "in", "notIn")
_NUMBER = ("=", "!=", "<", "<=", ">", ">=", "between", "notBetween")
_TEXT = (*_EQUAL, "contains", "doesNotContain", "beginsWith", "doesNotBeginWith", "endsWith", "doesNotEndWith")
_INSTANT = (
    *("inLast", "notInLast", "olderThan", "inNext", "notInNext"),
    *("on", "before", "after", "between", "notBetween"),
)
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    BOOLEAN: ("=", "!="),
    CHOICE: _EQUAL,
    INSTANT: _INSTANT,
    NUMBER: _NUMBER,
    SEGMENT: _EQUAL,
    SET: ("contains", "doesNotContain", "containsAll", "in", "notIn"),
    TEXT: _TEXT,
    **dict.fromkeys((ORGANIZATION, PROVIDER, CAMPAIGN), _EQUAL),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is one of the words above; `fields` are those of one thing of a collection, whose rules have a
    match and no operator. `least` and `most` bound a number."""

    name: str
    label: str
    kind: str
    operators: Sequence[str] = ()
    choices: Sequence[str] = ()
    fields: Sequence[Field] = ()
    least: int = 0
    most: int = 0


def _field(name: str, label: str, kind: str, *choices: str, maybe: bool = False, most: int = 0) -> Field:
    """`maybe`: it is not known of everybody."""
    return Field(name, label, kind, _OF_KIND[kind] + (_KNOWN if maybe else ()), choices, most=most)


_CHANNELS = tuple(map(str, Channel))
_PURPOSES = tuple(map(str, Purpose))
_STATUSES = ("scheduled", "confirmed", "reschedule_requested", "cancelled", "completed", "no_show")
EVENT_KINDS = (
    *("organization.updated", "provider.updated", "patient.updated"),
    *("appointment.scheduled", "appointment.updated", "appointment.cancelled", "appointment.no_show"),
    *("prescription.refill_due", "lab.results_ready", "billing.statement_ready"),
)

ATTRIBUTES = (
    _field("age", "Age in years", NUMBER, maybe=True, most=150),
    _field("gender", "Gender", CHOICE, "female", "male", "other", "unknown", maybe=True),
    _field("language", "Language (chosen or reported)", TEXT, maybe=True),
    _field("country", "Country", TEXT, maybe=True),
    _field("region", "Region", TEXT, maybe=True),
    _field("timezone", "Time zone (chosen or reported)", TEXT, maybe=True),
    _field("organization", "Organisation", ORGANIZATION, maybe=True),
    _field("provider", "Provider", PROVIDER, maybe=True),
    _field("tags", "Tags", SET, maybe=True),
    _field("active", "Is an active patient", BOOLEAN),
    _field("registered", "First reported", INSTANT),
    _field("bucket", "Random share (0 to 99)", NUMBER, most=99),
    *(
        _field(f"has_{each}", f"Has {words}", BOOLEAN)
        for each, words in (
            ("email", "an e-mail address"),
            ("sms", "a number for SMS"),
            ("whatsapp", "a WhatsApp number"),
        )
    ),
    *(
        _field(f"marketing_{each}", f"Agreed to marketing by {words}", BOOLEAN)
        for each, words in (("email", "e-mail"), ("sms", "SMS"), ("whatsapp", "WhatsApp"))
    ),
    _field("segment", "Segment", SEGMENT),
)
COLLECTIONS = (
    Field("messages", "Messages that were sent", COLLECTION, fields=(
        _field("channel", "Channel", CHOICE, *_CHANNELS),
        _field("purpose", "Purpose", CHOICE, *_PURPOSES),
        _field("campaign", "Campaign", CAMPAIGN, maybe=True),
        _field("sent", "Sent", INSTANT),
        *(_field(each, each.capitalize(), INSTANT, maybe=True)
          for each in ("delivered", "opened", "clicked", "replied", "bounced", "unsubscribed")),
    )),
    Field("appointments", "Appointments", COLLECTION, fields=(
        _field("starts", "Starts", INSTANT),
        _field("status", "Status", CHOICE, *_STATUSES),
        _field("provider", "Provider", PROVIDER, maybe=True),
        _field("place", "Place", TEXT, maybe=True),
    )),
    Field("answers", "Answers of the patient", COLLECTION, fields=(
        _field("channel", "Channel", CHOICE, *_CHANNELS),
        _field("intent", "Meaning", CHOICE, *map(str, Intent), maybe=True),
        _field("received", "Received", INSTANT),
    )),
    Field("consents", "Yes and no to messages", COLLECTION, fields=(
        _field("channel", "Channel", CHOICE, *_CHANNELS),
        _field("class", "About", CHOICE, *map(str, PurposeClass)),
        _field("given", "Was a yes", BOOLEAN),
        _field("at", "Said", INSTANT),
    )),
    Field("stops", "Stopped channels", COLLECTION, fields=(
        _field("channel", "Channel", CHOICE, *_CHANNELS),
        _field("at", "Stopped", INSTANT),
    )),
    Field("events", "Events of the core platform", COLLECTION, fields=(
        _field("kind", "What happened", CHOICE, *EVENT_KINDS),
        _field("at", "When", INSTANT),
    )),
)  # fmt: skip
_WORDS: Mapping[str, str] = {
    "=": "is",
    "!=": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
    "in": "is one of",
    "notIn": "is none of",
    "between": "is between",
    "notBetween": "is not between",
    "contains": "contains",
    "doesNotContain": "does not contain",
    "containsAll": "contains all of",
    "beginsWith": "begins with",
    "doesNotBeginWith": "does not begin with",
    "endsWith": "ends with",
    "doesNotEndWith": "does not end with",
    "inLast": "within the last",
    "notInLast": "not within the last",
    "olderThan": "longer ago than",
    "inNext": "within the next",
    "notInNext": "not within the next",
    "on": "on the day",
    "before": "before the day",
    "after": "after the day",
    "null": "is not known",
    "notNull": "is known",
}


def every_field() -> Sequence[Field]:
    """The catalogue, in the order in which a builder shows it."""
    return (*ATTRIBUTES, *COLLECTIONS)


def operator_words() -> Mapping[str, str]:
    """Each operator in words: {"=": "is", "inLast": "within the last", ...}."""
    return _WORDS


def catalogue() -> Mapping[str, Any]:
    """The same as JSON, for builders: {"fields": [{"name", "label", "kind", "operators", "values", "fields", "least",
    "most"}], "operators": {...}, "modes": {...}, "units": {...}}; organisations, providers, campaigns and segments are not
    listed."""
    return {
        "fields": [_shown(each) for each in every_field()],
        "operators": dict(_WORDS),
        "modes": dict(MODES),
        "units": dict(UNITS),
    }


def _shown(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.label,
        "kind": field.kind,
        "operators": list(field.operators),
        "values": list(field.choices),
        "fields": [_shown(each) for each in field.fields],
        "least": field.least,
        "most": field.most,
    }
