"""Made-up readers of a clinic's letters, and the segments, texts and campaigns that are written for them. Stores nothing.

What a reader answers was drawn from the known truth of `simulator`, so an A/B test over them has something to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np

from dispatchlog.local.outreach_sample import CLINIC_ID, PROVIDER_ID, SamplePatient, zone_of
from dispatchlog.local.simulator import CHANNELS, VARIANTS, Population

_OURS = UUID("5d6d2f70-0d0f-5b1e-9a57-6c3a4de6b720")
READERS = 48
_SEED, _AT_ONE = 7, 6
TAG = "wellness"
FAMILY = "a-walk-a-day"
WORDING = "I agree to letters about staying well from Harbour Sample Clinic. I can end them at any time."
WORDING_VERSION = "sample-1"
_WORDS = {
    "A": "A walk a day keeps your heart strong. Reply WALK for a plan.",
    "B": "Shall we plan a short walk together? Reply WALK and we send you yours.",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who agreed to letters."""

    number: int

    @property
    def person(self) -> SamplePatient:
        """As the other sample patients are."""
        key = f"sample.reader.{self.number:02}"
        return SamplePatient(key, f"Sample Reader {self.number:02}", f"+120255501{19 + self.number}")

    @property
    def birth_date(self) -> date:
        return date(1940 + (self.number * 7) % 60, 1 + self.number % 12, 1 + self.number % 28)

    def report(self, now: datetime) -> dict[str, Any]:
        """What the core platform says of them."""
        person = self.person
        return {
            "id": str(person.patient_id),
            "name": person.name,
            "organization_id": str(CLINIC_ID),
            "provider_id": str(PROVIDER_ID),
            "phone": person.number,
            "email": person.email,
            "timezone": zone_of(person, now),
            "language": "en",
            "country": "US",
            "birth_date": self.birth_date.isoformat(),
            "gender": "female" if self.number % 2 else "male",
            "tags": [TAG],
        }


EVERY_READER = tuple(Reader(number) for number in range(1, READERS + 1))


def answers() -> list[dict[str, str]]:
    """What readers answer to which text, as a script of the providers' stand-in: drawn once from what is known of each,
    for it is about one o'clock where they are. One has had enough.
    """
    people, everybody, luck = Population(READERS, _SEED), np.arange(READERS), np.random.default_rng(_SEED)
    channel = np.full(READERS, CHANNELS.index("sms"))
    found = [{"to": EVERY_READER[-1].person.number, "answer": "STOP"}]
    for variant, key in enumerate(VARIANTS):
        likely = people.by_hour(everybody, weekday=2, channel=channel, variant=variant)[:, _AT_ONE]
        who = np.flatnonzero(luck.random(READERS) < likely)
        found += [{"to": EVERY_READER[at].person.number, "asks": _WORDS[key], "answer": "WALK"} for at in who]
    return found


def templates() -> list[dict[str, Any]]:
    """The campaign's texts, as `POST /api/v1/comm/templates` takes them."""
    made = []
    for channel in ("sms", "email"):
        texts = {
            key: f"{{{{ patient_first_name }}}}, {words} {{{{ organization_name }}}} {{{{ opt_out_hint }}}}"
            for key, words in _WORDS.items()
        }
        made.append(
            {
                "name": f"A walk a day by {channel}",
                "purpose": "campaign_education",
                "channel": channel,
                "family": FAMILY,
                "subject": "A walk a day" if channel == "email" else None,
                "body": texts["A"],
                "variants": [{"name": key, "weight": 1, "body": text} for key, text in texts.items()],
            }
        )
    return made


def segments() -> list[dict[str, Any]]:
    """Name, words and rules of each."""
    tagged = {"field": "tags", "operator": "contains", "value": TAG}
    older = {"field": "age", "operator": ">=", "value": 65}
    return [
        {
            "name": "Wellness readers",
            "description": "Who asked for letters about staying well.",
            "rules": {"combinator": "and", "rules": [tagged]},
        },
        {
            "name": "Wellness readers of 65 and more",
            "description": "For the flu season.",
            "rules": {"combinator": "and", "rules": [tagged, older]},
        },
    ]


def campaigns() -> list[dict[str, Any]]:
    """As `POST /api/v1/comm/campaigns` takes them, with the segment's name; the first is begun."""
    first = {"key": "text", "name": "A text", "channel": "sms", "family": FAMILY}
    second = {
        "key": "letter",
        "name": "A letter to who did not answer",
        "channel": "email",
        "family": FAMILY,
        "offset": {"days": 2},
        "conditions": [{"step": "text", "is": "not_answered"}],
    }
    variants = {"variants": [{"key": "A", "weight": 1}, {"key": "B", "weight": 1}], "goal": "answered", "minimum": 100}
    return [
        {
            "name": "A walk a day",
            "segment": "Wellness readers",
            "description": "Two texts side by side; whoever does not answer gets a letter two days later.",
            "steps": [first, second],
            "ab_variants": variants,
            "exit_rules": ["answered", "opted_out"],
            "control_percent": 10,
        },
        {
            "name": "Walks for 65 and more",
            "segment": "Wellness readers of 65 and more",
            "description": "A draft: look at its preview, then begin it.",
            "steps": [{**second, "key": "letter", "name": "A letter", "offset": {"days": 0}, "conditions": []}],
            "overlap": "allow",
        },
    ]
