"""What a patient's form says, as changes of preferences: only what was changed on the page, each yes with its words.

A yes is stored with exactly the sentence that stood beside the box, its version and its language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Any
from uuid import UUID

from werkzeug.datastructures import MultiDict

from dashboard.masking import mask
from dashboard.outreach_asking import PATIENT
from dashboard.patient_texts import LANGUAGES, WORDING_VERSION, texts_in
from dispatchlog.systems.outreach import preferences
from dispatchlog.systems.outreach.contacts import address_hash
from dispatchlog.systems.outreach.inputs import Asker, PreferenceChange
from dispatchlog.systems.outreach.preferences import ChannelPreference, Preferences
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class Clinic:
    """Who writes to a patient; both are "" where nobody said."""

    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one page: for one clinic, in one language."""

    language: str
    clinic: str

    def __call__(self, key: str, **values: Any) -> str:
        texts = texts_in(self.language)
        return texts[key].format(clinic=self.clinic or texts["clinic"], **values)

    def of_marketing(self, channel: Channel) -> str:
        """What is agreed to by ticking health education."""
        return self("wording_marketing", channel=self(str(channel)))

    def of_start(self, channel: Channel, address: str) -> str:
        """What is agreed to by ticking a channel that was stopped."""
        return self("wording_start", channel=self(str(channel)), address=mask(address))


class InvalidTime(ValueError):
    """A time of the form cannot be read."""


# A channel, and the hash of an address: where the message went whose link opened the page.
CameTo = tuple[Channel, bytes]


def may_start(channel: Channel, now: ChannelPreference, came_to: CameTo | None) -> bool:
    """Whether a stop there is whoever opened the page's own to lift: others may read at the patient's other addresses."""
    return now.address.value is not None and came_to == (channel, address_hash(channel, now.address.value))


def save(
    patient_id: UUID,
    form: MultiDict[str, str],
    before: Preferences,
    words: Words,
    *,
    asker: Asker,
    came_to: CameTo | None,
) -> bool:
    """Store what differs from what the page showed, a no before a yes; whether anything did.

    Each change is a transaction of its own: a later one needs locks that must be taken before those of an earlier one.

    Raises:
        InvalidTime: nothing was stored then.
        OutreachError: as `preferences.change`; what came before stays stored.
    """
    changes = [*_of_channels(form, before, words), *_of_hours(form, before)]
    changes.sort(key=lambda change: False not in change[0].values())
    for values, wording in changes:
        wanted = _change(values, wording, words.language)
        preferences.change(patient_id, replace(wanted, came_to=came_to), asker=asker)
    return bool(changes)


def _change(values: Mapping[str, Any], wording: str, language: str) -> PreferenceChange:
    version = WORDING_VERSION if wording else ""
    return PreferenceChange(values, PATIENT, wording=wording, wording_version=version, language=language)


def _of_hours(form: MultiDict[str, str], before: Preferences) -> list[tuple[dict[str, Any], str]]:
    values: dict[str, Any] = {}
    for name, known in (("quiet_start", before.quiet_start.value), ("quiet_end", before.quiet_end.value)):
        if name in form and (wanted := _time(form[name])) != known.replace(second=0, microsecond=0):
            values[name] = wanted
    language = form.get("language", "")
    if language in LANGUAGES and language != form.get("language_shown"):
        values["language"] = language
    return [(values, "")] if values else []


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text.strip()).replace(second=0, microsecond=0, tzinfo=None)
    except ValueError as error:
        raise InvalidTime(text[:8]) from error


def _of_channels(form: MultiDict[str, str], before: Preferences, words: Words) -> list[tuple[dict[str, Any], str]]:
    """One change for each box that is switched, for each yes has words of its own."""
    found: list[tuple[dict[str, Any], str]] = []
    for channel, now in before.channels.items():
        address = now.address.value
        again = words.of_start(channel, address) if now.stopped_at is not None and address else ""
        found += _switched(form, f"allow_{channel}", again)
        found += _switched(form, f"marketing_opt_in_{channel}", words.of_marketing(channel))
    return found


def _switched(form: MultiDict[str, str], name: str, wording: str) -> list[tuple[dict[str, Any], str]]:
    is_on = name in form
    if name not in form.getlist("shown") or is_on == (name in form.getlist("had")):
        return []
    return [({name: is_on}, wording if is_on else "")]
