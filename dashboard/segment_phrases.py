"""How each thing that rules may ask is said of patients, as a clause after "who"; and of what is sent to them. Owns the
words; reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from dashboard.comm_template_words import language_word
from dashboard.comm_words import APPOINTMENTS, INTENTS
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS

_LONGEST_LIST = 6


@dataclass(frozen=True, slots=True)
class Phrase:
    """How one field is said: `yes` with its value for {}, `no` where it is not so, `none` where there is none of it."""

    yes: str
    no: str = ""
    none: str = ""
    some: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Thing:
    """How one collection is said: "were sent" "a" "message", "messages", and its fields."""

    verb: str
    a: str
    one: str
    many: str
    phrases: Mapping[str, Phrase]


OWN: Mapping[str, Phrase] = MappingProxyType(
    {
        "age": Phrase("are {} years old", none="are of unknown age", some="are of known age", kind="number"),
        "gender": Phrase("are {}", "are not {}", "are of a gender that is not known", "are of a known gender"),
        "language": Phrase(
            "speak {}", "do not speak {}", "speak a language that is not known", "speak a known language"
        ),
        "country": Phrase(
            "live in {}", "do not live in {}", "live in a country that is not known", "live in a known country"
        ),
        "region": Phrase("live in the region {}", "do not live in the region {}", "live in a region that is not known"),
        "timezone": Phrase("live in the time zone {}", "do not live in the time zone {}"),
        "organization": Phrase("are of {}", "are not of {}", "are of no clinic", "are of a clinic"),
        "provider": Phrase("are with {}", "are not with {}", "are with no provider", "are with a provider"),
        "tags": Phrase("are tagged {}", "are not tagged {}", "have no tag", "have a tag", kind="set"),
        "active": Phrase("are active", "are not active", kind="boolean"),
        "registered": Phrase("were registered", "were not registered", kind="instant"),
        "bucket": Phrase("are of the hundredth {} of a random hundred", kind="number"),
        "has_email": Phrase("have an e-mail address", "have no e-mail address", kind="boolean"),
        "has_sms": Phrase("have a number for SMS", "have no number for SMS", kind="boolean"),
        "has_whatsapp": Phrase("have a number for WhatsApp", "have no number for WhatsApp", kind="boolean"),
        **{
            f"marketing_{key}": Phrase(
                f"agreed to health education by {words}",
                f"did not agree to health education by {words}",
                kind="boolean",
            )
            for key, words in CHANNEL_WORDS.items()
        },
        "segment": Phrase("are in {}", "are not in {}"),
    }
)
_CHANNEL = Phrase("by {}", "not by {}")
_PROVIDER = Phrase("with {}", "not with {}", "with no provider", "with a provider")
THINGS: Mapping[str, Thing] = MappingProxyType(
    {
        "messages": Thing(
            "were sent",
            "a",
            "message",
            "messages",
            {
                "channel": _CHANNEL,
                "purpose": Phrase("of the kind {}", "not of the kind {}"),
                "campaign": Phrase("of the campaign {}", "not of the campaign {}", "of no campaign", "of a campaign"),
                "sent": Phrase("", "not sent", "not sent yet", "sent", kind="instant"),
                "delivered": Phrase("delivered", "not delivered", kind="instant"),
                "opened": Phrase("opened", "not opened", kind="instant"),
                "clicked": Phrase("with a link opened", "with no link opened", kind="instant"),
                "replied": Phrase("answered", "not answered", kind="instant"),
                "bounced": Phrase("that came back", "that did not come back", kind="instant"),
                "unsubscribed": Phrase("unsubscribed from", "not unsubscribed from", kind="instant"),
            },
        ),
        "appointments": Thing(
            "have",
            "an",
            "appointment",
            "appointments",
            {
                "starts": Phrase("", "not", kind="instant"),
                "status": Phrase("marked as {}", "not marked as {}"),
                "provider": _PROVIDER,
                "place": Phrase("at {}", "not at {}", "without a place", "with a place"),
            },
        ),
        "answers": Thing(
            "gave",
            "an",
            "answer",
            "answers",
            {
                "channel": _CHANNEL,
                "intent": Phrase("meaning “{}”", "not meaning “{}”", "that nobody understood", "that was understood"),
                "received": Phrase("", "not", kind="instant"),
            },
        ),
        "consents": Thing(
            "gave",
            "a",
            "yes or no",
            "yeses and noes",
            {
                "channel": _CHANNEL,
                "class": Phrase("about {}", "not about {}"),
                "given": Phrase("meaning yes", "meaning no", kind="boolean"),
                "at": Phrase("", "not", kind="instant"),
            },
        ),
        "stops": Thing(
            "have", "a", "stop", "stops", {"channel": _CHANNEL, "at": Phrase("made", "not made", kind="instant")}
        ),
        "events": Thing(
            "had",
            "an",
            "event",
            "events",
            {"kind": Phrase("“{}”", "other than “{}”"), "at": Phrase("reported", "not reported", kind="instant")},
        ),
    }
)
_CHOICES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "purpose": {str(key): words for key, words in PURPOSE_WORDS.items()},
        "channel": {str(key): words for key, words in CHANNEL_WORDS.items()},
        "status": {key: words[0].lower() for key, words in APPOINTMENTS.items()},
        "intent": {key: words.lower() for key, words in INTENTS.items()},
        "class": {"all": "all messages", "marketing": "health education"},
        "gender": {"other": "of another gender", "unknown": "of unknown gender"},
        "kind": {
            "organization.updated": "clinic changed",
            "provider.updated": "provider changed",
            "patient.updated": "patient changed",
            "appointment.scheduled": "appointment made",
            "appointment.updated": "appointment changed",
            "appointment.cancelled": "appointment cancelled",
            "appointment.no_show": "appointment missed",
            "prescription.refill_due": "prescription to be refilled",
            "lab.results_ready": "results ready",
            "billing.statement_ready": "bill ready",
        },
    }
)
_NEGATIVE = frozenset({"!=", "notIn", "doesNotContain", "doesNotBeginWith", "doesNotEndWith"})
_PARTS = MappingProxyType(
    {
        "contains": "something with {}",
        "doesNotContain": "something with {}",
        "beginsWith": "something beginning with {}",
        "doesNotBeginWith": "something beginning with {}",
        "endsWith": "something ending with {}",
        "doesNotEndWith": "something ending with {}",
    }
)
_NUMBERS = MappingProxyType(
    {
        "=": "{}",
        "!=": "not {}",
        "<": "less than {}",
        "<=": "{} or less",
        ">": "more than {}",
        ">=": "{} or more",
        "between": "between {} and {}",
        "notBetween": "not between {} and {}",
    }
)
_INSTANTS = MappingProxyType(
    {
        "inLast": "within the last {}",
        "notInLast": "within the last {}",
        "olderThan": "more than {} ago",
        "inNext": "within the next {}",
        "notInNext": "within the next {}",
        "before": "before {}",
        "after": "after {}",
        "on": "on {}",
        "between": "between {} and {}",
        "notBetween": "between {} and {}",
    }
)


def choice_word(field: str, value: str) -> str:
    """One of a field's choices in words."""
    if field == "language":
        return language_word(value)
    return _CHOICES.get(field, {}).get(value) or (value.replace("_", " ") if value.islower() else value)


def value_words(value: Any, word: Callable[[str], str]) -> str:
    """Such as "SMS, WhatsApp or e-mail"."""
    words = [word(str(each)) for each in (value if isinstance(value, list) else [value])]
    if len(words) > _LONGEST_LIST:
        words = [*words[: _LONGEST_LIST - 1], f"{len(words) - _LONGEST_LIST + 1} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"


def text_phrase(phrase: Phrase, operator: str, words: str, *, several: bool = False) -> str:
    """A field that is some word."""
    if operator == "null":
        return phrase.none or phrase.yes.format("something that is not known")
    if operator == "notNull":
        return phrase.some or phrase.yes.format("something that is known")
    if operator == "containsAll" and several:
        words = words.replace(" or ", " and ")
    words = words if phrase.kind == "set" else _PARTS.get(operator, "{}").format(words)
    return (phrase.no if operator in _NEGATIVE and phrase.no else phrase.yes).format(words)


def number_phrase(phrase: Phrase, operator: str, value: Any) -> str:
    """A field that is a number."""
    if operator in ("null", "notNull"):
        return text_phrase(phrase, operator, "")
    values = value if isinstance(value, list) else [value]
    return phrase.yes.format(_NUMBERS.get(operator, "{}").format(*values, *([""] * (2 - len(values)))))


def instant_phrase(phrase: Phrase, operator: str, value: Any) -> str:
    """A field that is a time, or says by it that something has happened."""
    if operator in ("null", "notNull"):
        return (phrase.none or phrase.no) if operator == "null" else (phrase.some or phrase.yes)
    negative = operator.startswith("not")
    values = [_when(each) for each in (value if isinstance(value, list) else [value])]
    words = _INSTANTS.get(operator, "{}").format(*values, *([""] * (2 - len(values))))
    return f"{phrase.no if negative else phrase.yes} {words}".strip()


def _when(value: Any) -> str:
    if isinstance(value, Mapping):
        amount, unit = value.get("amount"), str(value.get("unit", ""))
        return f"{amount} {unit.removesuffix('s') if amount in (1, '1') else unit}"
    try:
        at = datetime.fromisoformat(str(value)) if "T" in str(value) else date.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{at.day} {at:%B %Y}" + (f", {at:%H:%M}" if isinstance(at, datetime) else "")
