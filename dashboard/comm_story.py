"""A patient's messages, answers, consents and who looked, as lines that a person reads. Reads no table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.comm_inbox_words import mask_long_numbers
from dashboard.comm_words import (
    AUDIT,
    INTENTS,
    SOURCES,
    Told,
    change_words,
    channel_words,
    field_words,
    heard,
    message_state,
    message_title,
    told,
    why_not,
)
from dashboard.content import mask_content
from dashboard.masking import mask_text, names_masker
from dashboard.wording import actor
from dispatchlog.engine.lanes import Row

# What is told of somebody who opened a link; staff and services go by their names.
_PATIENT = "patient"
_OTHERS = (
    ("fallback_of", "In place of one that did not arrive"),
    ("replaced_by", "Sent another way instead"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story. Texts are masked; `job` leads to the message's own page, `told` is its decision;
    `by_at` when somebody dealt with it, where that was later; `others` lead to messages that belong to it,
    `said_at` to the answer that said it, `campaign` to what it was sent for."""

    at: datetime
    title: str
    icon: str
    tone: str
    text: str = ""
    by: str = ""
    by_at: datetime | None = None
    mark: str = ""
    job: UUID | None = None
    told: Told | None = None
    heard: Sequence[tuple[str, datetime]] = field(default_factory=tuple)
    quote: str = ""
    code: str = ""
    waits: bool = False
    others: Sequence[tuple[str, UUID]] = field(default_factory=tuple)
    said_at: datetime | None = None
    campaign: tuple[str, UUID] | None = None


def tell(rows: Sequence[Row], texts: Mapping[UUID, str]) -> list[Line]:
    """The lines in the order of the rows; `texts` are those of messages, where they may be shown."""
    return [_TELL[row["kind"]](row, texts) for row in rows]


def masked_text(row: Row, name: str) -> str:
    """What a message says, without the patient's name, what was written into it, addresses, numbers and links' keys."""
    written = [str(value) for value in row["variables"].values() if not isinstance(value, bool)]
    return mask_long_numbers(names_masker([name, *written])(mask_content(row["body"])))


def _message(row: Row, texts: Mapping[UUID, str]) -> Line:
    state = message_state(row)
    about = f" ({row['bounce_code']})" if row["bounce_code"] and row["bounced_at"] else ""
    return Line(
        row["at"],
        message_title(row),
        state.icon,
        state.tone,
        text=mask_text(why_not(row)),
        mark=state.label + about,
        job=row["id"],
        told=told(row["decision"]),
        heard=heard(row),
        quote=texts.get(row["id"], ""),
        code=row["last_error_code"] or "" if row["status"] in ("FAILED", "CANCELLED") else "",
        others=[(words, row[column]) for column, words in _OTHERS if row[column]],
        campaign=(row["campaign_name"], row["campaign_id"]) if row["campaign_id"] else None,
    )


def _answer(row: Row, _: Mapping[UUID, str]) -> Line:
    meaning = INTENTS.get(row["intent"] or "", "Not read yet")
    if row["waits_for_person"] and not row["processed"]:
        done = "It waits for a person."
    else:
        done = _sentence(row["action"].replace("_", " ")) if row["action"] else ""
    note = f" “{mask_text(row['note'])}”" if row["note"] else ""
    return Line(
        row["at"],
        f"The patient wrote by {channel_words(row['channel'])}",
        "mail",
        "doubt" if row["waits_for_person"] and not row["processed"] else "busy",
        text=f"{done}{note}".strip(),
        by=actor(row["processed_by"]) if row["processed_by"] else "",
        by_at=row["processed_at"] if row["processed_by"] else None,
        mark=meaning,
        job=row["related_job_id"],
        quote=mask_long_numbers(mask_text(row["body"])),
        waits=bool(row["waits_for_person"] and not row["processed"]),
    )


def _consent(row: Row, _: Mapping[UUID, str]) -> Line:
    what = "health education" if row["purpose_class"] == "marketing" else "messages"
    title = f"{'Yes' if row['given'] else 'No'} to {what} by {channel_words(row['channel'])}"
    version = f" Wording {row['wording_version']}, {row['language'] or 'en'}." if row["wording_version"] else ""
    return Line(
        row["at"],
        title,
        "check" if row["given"] else "ban",
        "good" if row["given"] else "bad",
        text=_sentence(SOURCES.get(row["source"], row["source"])) + version,
        by=who(row["actor"]),
        quote=row["wording"],
        said_at=row["said_at"],
    )


def _deed(row: Row, _: Mapping[UUID, str]) -> Line:
    title, icon, tone = AUDIT[row["action"]]
    details = dict(row["details"])
    if row["action"] == "access":
        opened = {"message": "to a message", "preferences": "to their preferences"}.get(str(details.get("kind")), "")
        title = f"A link {opened} was opened" if details.get("portal_link") else title
        seen = "With name, addresses and texts in clear." if details.get("in_clear") else ""
        return Line(row["at"], title, icon, tone, text=seen, by=who(row["actor"]))
    if details.get("created"):
        return Line(row["at"], "Registered", "person", tone, by=who(row["actor"]))
    return Line(row["at"], title, icon, tone, text=_details(details), by=who(row["actor"]))


def _request(row: Row, _: Mapping[UUID, str]) -> Line:
    if row["status"] == "open":
        return Line(row["at"], "Another time is wanted", "retry", "doubt", text="Somebody has to find one.")
    note = f"“{mask_text(row['note'])}”" if row["note"] else ""
    return Line(
        row["at"],
        "Another time was wanted",
        "retry",
        "off",
        text=note,
        by=who(row["handled_by"]),
        by_at=row["handled_at"],
        mark="Dealt with",
    )


def _details(details: Mapping[str, Any]) -> str:
    """What the audit keeps: names of fields, choices before and after, codes and ids, never a text of a patient's."""
    if changes := details.get("changes"):
        return "; ".join(_sentence(change_words(name, change)).rstrip(".") for name, change in changes.items()) + "."
    if fields := details.get("fields"):
        return _sentence(field_words(list(fields)))
    words = (
        f"{name.replace('_', ' ')}: {value}"
        for name, value in details.items()
        if value not in (None, "", [], {}) and not isinstance(value, Mapping | list)
    )
    return mask_text(", ".join(words))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def who(name: str | None) -> str:
    """Who did it, as a person calls them."""
    return "The patient" if name == _PATIENT else actor(name) if name else ""


_TELL: Mapping[str, Callable[[Row, Mapping[UUID, str]], Line]] = {
    "messages": _message,
    "answers": _answer,
    "consent": _consent,
    "people": _deed,
    "requests": _request,
}
