"""Which texts a campaign's steps can choose from: families with their channels, languages, variables and variants.

Reads the templates as they are remembered; stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dashboard.comm_template_words import STANDING_WORDS, language_word
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.states import CHANNEL_WORDS, PURPOSE_WORDS, Channel, Purpose
from dispatchlog.systems.outreach.template_values import Template, Variable

# Urgent messages pass quiet hours and limits, which no campaign may.
PURPOSES = tuple(purpose for purpose in Purpose if purpose is not Purpose.URGENT)


@dataclass(frozen=True, slots=True)
class Family:
    """The texts of one purpose and family; `key` as the form names it."""

    key: str
    purpose: Purpose
    name: str
    texts: Sequence[Template]

    @property
    def label(self) -> str:
        """Such as "flu-2026: SMS (English, Spanish), e-mail (English)"."""
        by_channel: dict[Channel, list[str]] = {}
        for each in self.texts:
            words = by_channel.setdefault(each.channel, [])
            if (word := language_word(each.language)) not in words:
                words.append(word)
        said = ", ".join(f"{CHANNEL_WORDS[channel]} ({', '.join(sorted(by))})" for channel, by in by_channel.items())
        return f"{self.name or 'What holds everywhere'}: {said or 'no text yet'}"

    @property
    def variables(self) -> dict[str, Variable]:
        """What a campaign has to say a value for, each once, needed where any text needs it."""
        found: dict[str, Variable] = {}
        for each in (variable for text in self.texts for variable in text.variables):
            if each.name not in STANDING_WORDS and (each.name not in found or each.required):
                found[each.name] = each
        return found

    @property
    def variants(self) -> list[str]:
        """The variants that all of its texts have."""
        names = [[each.name for each in text.variants] for text in self.texts]
        return [name for name in names[0] if all(name in other for other in names)] if names else []


def families(organization_id: UUID | None) -> Mapping[str, Family]:
    """What can be chosen for everybody's patients or an organisation's, by purpose and name; active texts alone."""
    grouped: dict[tuple[Purpose, str], list[Template]] = {(purpose, ""): [] for purpose in PURPOSES}
    for each in _active(organization_id):
        if each.purpose in PURPOSES:
            grouped.setdefault((each.purpose, each.family), []).append(each)
    ordered = sorted(grouped.items(), key=lambda one: (PURPOSES.index(one[0][0]), one[0][1] == "", one[0][1]))
    made = [Family(f"{purpose}:{name}", purpose, name, texts) for (purpose, name), texts in ordered]
    return {one.key: one for one in made}


def by_purpose(known: Mapping[str, Family]) -> dict[str, list[Family]]:
    """The same under each purpose's words, for a list of choices."""
    found: dict[str, list[Family]] = {}
    for one in known.values():
        found.setdefault(PURPOSE_WORDS[one.purpose], []).append(one)
    return found


def usual_text(known: Mapping[str, Family]) -> str:
    """What a first step begins with: the first texts of health education that there are."""
    own = [one for one in known.values() if one.purpose is Purpose.CAMPAIGN_EDUCATION]
    return next((one.key for one in own if one.texts), own[0].key)


def offered_variants(chosen: Iterable[Family]) -> list[str]:
    """The variants that every chosen family has."""
    each = [one.variants for one in chosen]
    return [name for name in each[0] if all(name in other for other in each)] if each else []


def _active(organization_id: UUID | None) -> list[Template]:
    return [
        one
        for one in templates.every_template()
        if one.is_active and (organization_id is None or one.organization_id in (None, organization_id))
    ]
