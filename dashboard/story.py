"""One dispatch's history as a person reads it: titles, numbers and words for what the log holds. Reads no table.

What is told twice is told once: a person's deed stands at the move it caused, and a move does not repeat its try's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.dispatch_queries import Event
from dashboard.masking import mask_text
from dashboard.references import Reference
from dashboard.wording import ACTIONS, IN_DOUBT, OUTCOMES, Verb, actor, states_of, verb_of
from dispatchlog.engine.lanes import Row

# The state into which a person's deed moves a dispatch.
_LEADS_TO = {"confirm_sent": "SENT", "confirm_not_sent": "PENDING", "retry": "PENDING", "cancel": "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the story: what it is called, what it says, who did it or through what. Texts are masked.

    `reference` and `provider_number` are what the provider's log knows a try by; `in_question` marks a try without answer.
    """

    at: datetime
    title: str
    icon: str
    tone: str
    text: str
    by: str
    code: str = ""
    latency_ms: float | None = None
    reference: Reference | None = None
    provider_number: str = ""
    evidence: object = None
    in_question: bool = False


def tell(lane_name: str, events: Sequence[Event], references: Mapping[int, Reference]) -> list[Entry]:
    """The entries of one dispatch's timeline, oldest first."""
    deeds = dict(_deeds(events))
    caused = {id(action) for action in deeds.values()}
    entries = []
    attempt: Row | None = None
    for event in events:
        if event.kind == "attempt":
            entries.append(_attempt(event, references))
            attempt = event.row
        elif event.kind == "move":
            entries.append(_move(lane_name, event, deed=deeds.get(id(event.row)), attempt=attempt))
            attempt = None
        elif id(event.row) not in caused:
            entries.append(_action(event, verb_of(lane_name)))
    return entries


def confirmation(events: Sequence[Event]) -> Row | None:
    """The deed (actor, reason, at) by which a person declared it sent; None where nobody did."""
    return _last_deed(events, "confirm_sent")


def cancellation(events: Sequence[Event]) -> Row | None:
    """The deed by which a person cancelled it; None where nobody did."""
    return _last_deed(events, "cancel")


def _last_deed(events: Sequence[Event], action: str) -> Row | None:
    found = [event.row for event in events if event.kind == "action" and event.row["action"] == action]
    return found[-1] if found else None


def _deeds(events: Sequence[Event]) -> Iterator[tuple[int, Row]]:
    """Each move that a person caused, with the deed: both bear the same signature, and the deed is logged after."""
    waiting: dict[tuple[str, str, str | None], Row] = {}
    for event in events:
        row = event.row
        if event.kind == "move":
            waiting[row["actor"], row["to_status"], row["reason"]] = row
        elif event.kind == "action" and (target := _LEADS_TO.get(row["action"])):
            signature = row["actor"], target, row["reason"] or row["action"].replace("_", " ")
            if (move := waiting.pop(signature, None)) is not None:
                yield id(move), row


def _move(lane_name: str, event: Event, *, deed: Row | None, attempt: Row | None) -> Entry:
    row = event.row
    state = states_of(lane_name)[IN_DOUBT if row["in_doubt"] else row["to_status"]]
    if deed is not None:
        title, icon, text = _title(deed, verb_of(lane_name)), "person", _quoted(deed["reason"])
    else:
        title, icon = state.label if row["from_status"] else "Created", state.icon
        text = "" if attempt is not None and row["reason"] == attempt["message"] else _sentence(row["reason"])
    return Entry(event.at, title, icon, state.tone, text=text, by=actor(row["actor"]))


def _attempt(event: Event, references: Mapping[int, Reference]) -> Entry:
    row = event.row
    words, icon, tone = OUTCOMES[row["outcome"]]
    tried = row["outcome"] != "NOT_SENT"
    reference = references.get(row["generation"]) if tried else None
    number = row["provider_message_id"] or ""
    return Entry(
        event.at,
        f"Try {row['try_number']}: {words}" if tried else words.capitalize(),
        icon,
        tone,
        text=_sentence(row["message"]),
        by=row["gateway"],
        code=row["code"] or "",
        latency_ms=row["latency_ms"],
        reference=reference,
        provider_number="" if reference is not None and number == reference.value else number,
        evidence=row["evidence"] or None,
        in_question=row["outcome"] in (None, "UNKNOWN"),
    )


def _action(event: Event, verb: Verb) -> Entry:
    row = event.row
    return Entry(event.at, _title(row, verb), "person", "off", text=_quoted(row["reason"]), by=actor(row["actor"]))


def _title(deed: Row, verb: Verb) -> str:
    words = ACTIONS.get(deed["action"], deed["action"].replace("_", " ").capitalize())
    return words.replace("{past}", verb.past)


def _quoted(words: str | None) -> str:
    """A person's own words stay as they wrote them."""
    return f"“{mask_text(words)}”" if words else ""


def _sentence(text: str | None) -> str:
    text = mask_text(text)
    return text[:1].upper() + text[1:]
