"""A small population drawn for tests of segments, full of what is not known and of instants on a boundary, and documents of
rules about it. Owns no rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
from hypothesis import strategies as st

from dispatchlog.systems.outreach.segments import fields
from dispatchlog.systems.outreach.segments.fields import Field

LEAP = datetime(2028, 2, 29, 12, 30, 15, 250, tzinfo=UTC)
MONTH_END = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
SPANS = ((1, "hours"), (24, "hours"), (1, "days"), (2, "weeks"), (1, "months"), (6, "months"), (13, "months"))
TAGS = ("diabetes", "heart:risk", "new", "a-1")
TEXTS = {
    "country": ("US", "ng", "u", "g", "'; --"),
    "region": ("FL", "ny", "f", "y", "%"),
    "language": ("EN", "fr", "p", "-br", "pt-BR"),
    "timezone": ("Europe/paris", "america/new_york", "EUROPE/", "york", "_"),
    "place": ("% room_", "öst 5", "%", "_", "ÖST", "5", "a'b\\"),
}
_AWAY = (
    *(timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=14)),
    *(timedelta(days=28), timedelta(days=29), timedelta(days=31), timedelta(days=182), timedelta(days=400)),
)


@dataclass
class People:
    """Who is there, and ids that rules may name."""

    now: datetime
    patients: list[UUID] = field(default_factory=list)
    organizations: list[UUID] = field(default_factory=list)
    providers: list[UUID] = field(default_factory=list)
    campaigns: list[UUID] = field(default_factory=list)
    segments: list[UUID] = field(default_factory=list)


def populate(url: str, *, seed: int, number: int, now: datetime) -> People:
    """Fill an empty database as its owner, past triggers and foreign keys."""
    draw, people = Random(seed), People(now)  # noqa: S311  (drawn the same each time)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        psycopg2.extras.register_uuid(None, cursor)
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("ALTER TABLE comm_jobs DISABLE TRIGGER log_insert")
        _Filling(cursor, draw, people).fill(number)
    return people


class _Filling:
    def __init__(self, cursor: Any, draw: Random, people: People) -> None:
        self._cursor, self._draw, self._people = cursor, draw, people

    def fill(self, number: int) -> None:
        people, some = self._people, self._ids
        people.organizations, people.campaigns = some(3), some(2)
        people.patients, people.providers = some(number), some(4)
        pick = self._draw.choice
        organizations = [(each, "Clinic") for each in people.organizations]
        self._insert("comm_organizations (id, name)", organizations)
        owners = [*people.organizations, None]
        self._insert(
            "comm_providers (id, organization_id, name)", [(each, pick(owners), "Dr") for each in people.providers]
        )
        self._insert(
            "patients (id, name_sealed, organization_id, provider_id, country, region, timezone, language, active,"
            " birth_date, gender, tags, created_at)",
            [self._patient(each) for each in people.patients],
        )
        self._insert(
            "patient_comm_prefs (id, patient_id, timezone, language, marketing_opt_in_email, marketing_opt_in_sms)",
            [
                (
                    *some(1),
                    each,
                    pick((None, "Europe/Paris")),
                    pick((None, None, "fr", "pt-BR")),
                    pick((True, False)),
                    False,
                )
                for each in people.patients[:-3]
            ],
        )
        self._things()

    def _patient(self, patient_id: UUID) -> tuple[Any, ...]:
        pick, people = self._draw.choice, self._people
        born = pick(
            (None, date(2000, 2, 29), date(1960, 2, 28), date(1961, 3, 1), date(2020, 12, 31), date(1961, 3, 31))
        )
        return (
            *(patient_id, b"", pick([*people.organizations, None]), pick([*people.providers, None])),
            *(
                pick(("", "US", "NG")),
                pick(("", "FL", "NY")),
                pick((None, "America/New_York")),
                pick((None, "en", "pt-BR")),
            ),
            *(
                pick((True, False)),
                born,
                pick(("", "male", "female", "unknown")),
                self._draw.sample(TAGS, pick((0, 1, 2))),
            ),
            self._at(),
        )

    def _things(self) -> None:
        pick, people = self._draw.choice, self._people
        who, maybe = self._who, self._maybe
        self._insert(
            "comm_jobs (id, route, template_id, template_version, language, recipient, body, scheduled_at, decision,"
            " patient_id, purpose, channel, campaign_id, status, sent_at, delivered_at, opened_at, clicked_at,"
            " replied_at, bounced_at, unsubscribed_at)",
            [
                (
                    *(
                        *self._ids(2),
                        who(),
                        pick(("rx_refill", "urgent")),
                        pick(("sms", "email")),
                        maybe(people.campaigns),
                    ),
                    *(pick((("SENT", self._at()), ("CANCELLED", None)))),
                    *(maybe([self._at()]) for _ in range(6)),
                )
                for _ in range(3 * len(people.patients))
            ],
            "(%s, 'r', %s, 1, 'en', 'x', 'x', now(), '{}', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        )
        appointments = self._ids(2 * len(people.patients))
        self._insert(
            "comm_appointments (id, patient_id, starts_at, status, provider_id, place)",
            [
                (
                    each,
                    who(),
                    self._at(),
                    pick(("no_show", "completed")),
                    maybe(people.providers),
                    pick(("", "Öst 5", "% Room_")),
                )
                for each in appointments
            ],
        )
        self._insert(
            "comm_inbound (id, patient_id, channel, from_address, to_address, body, provider, event_key, source, intent,"
            " created_at)",
            [
                (each, maybe(people.patients), pick(("sms", "email")), str(each), maybe(["stop"]), self._at())
                for each in self._ids(len(people.patients))
            ],
            "(%s, %s, %s, '', '', '', 'twilio', %s, 'native', %s, %s)",
        )
        self._insert(
            "comm_consents (patient_id, address_hash, channel, purpose_class, given, source, actor, at)",
            [
                (
                    maybe(people.patients),
                    b"x",
                    pick(("sms", "email")),
                    pick(("all", "marketing")),
                    pick((True, False)),
                    self._at(),
                )
                for _ in people.patients
            ],
            "(%s, %s, %s, %s, %s, 'staff', 'x', %s)",
        )
        addresses = {(who(), pick(("sms", "email", "whatsapp"))) for _ in people.patients}
        hashes = [pick((b"1", b"2", b"3")) for _ in addresses]
        self._insert(
            "comm_addresses (patient_id, channel, address_hash)",
            [(*each, known) for each, known in zip(sorted(addresses), hashes, strict=True)],
        )
        stops = [("sms", b"1", self._at()), ("email", b"2", self._at())]
        self._insert("comm_stops (channel, address_hash, stopped_at, source)", stops, "(%s, %s, %s, 'staff')")
        self._insert(
            "comm_core_events (source, event_id, kind, subject_id, occurred_at, received_at, document_sha256)",
            [
                (
                    str(each),
                    pick(("lab.results_ready", "patient.updated")),
                    pick([who(), pick(appointments), None]),
                    maybe([self._at()]),
                    self._at(),
                )
                for each in self._ids(len(people.patients))
            ],
            "('core', %s, %s, %s, %s, %s, '')",
        )

    def _at(self) -> datetime:
        sign = self._draw.choice((-1, -1, 1))
        return self._people.now + sign * self._draw.choice(_AWAY)

    def _who(self) -> UUID:
        return self._draw.choice(self._people.patients)

    def _maybe(self, values: Sequence[Any]) -> Any:
        return self._draw.choice([*values, None])

    def _ids(self, number: int) -> list[UUID]:
        return [UUID(int=self._draw.getrandbits(128)) for _ in range(number)]

    def _insert(self, into: str, values: Sequence[tuple[Any, ...]], template: str | None = None) -> None:
        psycopg2.extras.execute_values(self._cursor, f"INSERT INTO {into} VALUES %s", values, template=template)


def documents(people: People) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of every field and operator, nested up to three deep."""
    return _groups(people, fields.every_field())


def _groups(people: People, known: Sequence[Field]) -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from(known).flatmap(lambda each: rules_about(people, each))
    return st.recursive(
        st.builds(_group, st.sampled_from(("and", "or")), st.booleans(), st.lists(one, min_size=1, max_size=3)),
        lambda inner: st.builds(
            _group, st.sampled_from(("and", "or")), st.booleans(), st.lists(st.one_of(one, inner), max_size=3)
        ),
        max_leaves=4,
    )


def _group(combinator: str, negated: bool, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"combinator": combinator, "not": negated, "rules": rules}


def rules_about(people: People, one: Field) -> st.SearchStrategy[dict[str, Any]]:
    """Rules about one field."""
    if one.kind == fields.COLLECTION:
        match = st.builds(
            lambda mode, threshold: {"mode": mode, "threshold": threshold},
            st.sampled_from(list(fields.MODES)),
            st.integers(1, 3),
        )
        return st.builds(
            lambda how, group: {"field": one.name, "operator": "", "match": how, "value": group},
            match,
            _groups(people, one.fields),
        )
    return st.sampled_from(one.operators).flatmap(
        lambda operator: _values(people, one, operator).map(
            lambda value: {"field": one.name, "operator": operator, "value": value}
        )
    )


def _values(people: People, one: Field, operator: str) -> st.SearchStrategy[Any]:
    if operator in ("null", "notNull"):
        return st.none()
    if operator in ("inLast", "notInLast", "olderThan", "inNext", "notInNext"):
        return st.sampled_from([{"amount": amount, "unit": unit} for amount, unit in SPANS])
    single = st.sampled_from(_offered(people, one))
    if operator in ("between", "notBetween"):
        return st.lists(single, min_size=2, max_size=2).map(sorted)
    if operator in ("in", "notIn", "containsAll"):
        return st.lists(single, min_size=1, max_size=3)
    return single


def _offered(people: People, one: Field) -> Sequence[Any]:
    days = [str((people.now + timedelta(days=days)).date()) for days in (-400, -31, -14, -1, 0, 1, 14)]
    ids = {
        "organization": people.organizations,
        "provider": people.providers,
        "campaign": people.campaigns,
        "segment": people.segments,
    }
    if one.kind in ids:
        return [str(each) for each in ids[one.kind]]
    return {
        "number": (0, 1, 5, 7, 9, 27, 28, 49, 64, 65, 66, 67, 68, 90) if one.name == "age" else (0, 10, 25, 50, 75, 99),
        "instant": days,
        "boolean": (True, False),
        "choice": one.choices,
        "set": (*TAGS, "none", "NEW"),
        "text": TEXTS.get(one.name, ()),
    }[one.kind]
