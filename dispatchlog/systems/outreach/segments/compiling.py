"""A rule tree as one bound condition of SQL. Every value is a parameter, every name is our own; runs nothing.

What belongs to several rows is asked as `p.id IN (SELECT patient_id ...)`, which PostgreSQL answers with one hashed pass
however the rules are nested. No condition is ever null, so a NOT is the opposite everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.segments import fields, operators
from dispatchlog.systems.outreach.segments.operators import ALWAYS, Condition
from dispatchlog.systems.outreach.segments.rules import Group, Match, Rule


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition about `patients p`, with its parameters in order."""

    where: str
    params: tuple[Any, ...]


# Each thing's rows as `x`, with whose they are, and its fields' columns; null where nothing is known.
_FROM = {
    "messages": ("comm_jobs x", "x.patient_id", "x.sent_at IS NOT NULL"),
    "appointments": ("comm_appointments x", "x.patient_id", ""),
    "answers": ("comm_inbound x", "x.patient_id", "x.patient_id IS NOT NULL"),
    "consents": ("comm_consents x", "x.patient_id", "x.patient_id IS NOT NULL"),
    "stops": (
        "comm_stops x JOIN comm_addresses a ON a.channel = x.channel AND a.address_hash = x.address_hash",
        "a.patient_id",
        "",
    ),
    "events": (
        "comm_core_events x LEFT JOIN comm_appointments a ON a.id = x.subject_id",
        "coalesce(a.patient_id, x.subject_id)",
        "x.subject_id IS NOT NULL",
    ),
}
# Of so few patients an index finds each one's.
_AMONG = {
    "events": "x.subject_id = ANY (%s::uuid[] || ARRAY(SELECT b.id FROM comm_appointments b"
    " WHERE b.patient_id = ANY (%s::uuid[])))",
}
_COLUMNS = {
    "messages": {
        "channel": "x.channel",
        "purpose": "x.purpose",
        "campaign": "x.campaign_id",
        "sent": "x.sent_at",
        **{each: f"x.{each}_at" for each in ("delivered", "opened", "clicked", "replied", "bounced", "unsubscribed")},
    },
    "appointments": {
        "starts": "x.starts_at",
        "status": "x.status",
        "provider": "x.provider_id",
        "place": "nullif(x.place, '')",
    },
    "answers": {"channel": "x.channel", "intent": "x.intent", "received": "x.created_at"},
    "consents": {"channel": "x.channel", "class": "x.purpose_class", "given": "x.given", "at": "x.at"},
    "stops": {"channel": "x.channel", "at": "x.stopped_at"},
    "events": {"kind": "x.kind", "at": "coalesce(x.occurred_at, x.received_at)"},
}
_OWN = {
    "age": "p.birth_date",
    "gender": "nullif(p.gender, '')",
    "country": "nullif(p.country, '')",
    "region": "nullif(p.region, '')",
    "provider": "p.provider_id",
    "tags": "p.tags",
    "active": "p.active",
    "registered": "p.created_at",
    "bucket": "comm_bucket(p.id, 'segment') / 100",
}
_CHOSEN = frozenset({"language", "timezone"})
_KINDS = {each.name: each for each in fields.every_field()}


def compiled(
    group: Group,
    *,
    now: datetime,
    organization_id: UUID | None = None,
    segments: Mapping[UUID, Group] | None = None,
    among: Sequence[UUID] | None = None,
) -> Compiled:
    """The condition that picks the patients at the instant `now`; only an organisation's own where one is given.

    `segments`: what other segments that are named mean, already without a cycle. `among`: it is asked of these few patients
    only, and nothing of others is read (it is still for who asks to name them: `p.id = ANY (...)`).
    """
    compiler = _Compiler(now.astimezone(UTC), segments or {}, None if among is None else list(among))
    condition = compiler.group(group)
    if organization_id is not None:
        condition = operators.joined("and", [compiler.organization("=", organization_id), condition])
    return Compiled(condition.sql, condition.params)


class _Compiler:
    def __init__(self, now: datetime, segments: Mapping[UUID, Group], among: list[UUID] | None) -> None:
        self._now, self._segments, self._among = now, segments, among

    def group(self, group: Group, thing: str = "") -> Condition:
        conditions = [self._one(each, thing) for each in group.rules]
        found = operators.joined(group.combinator, conditions) if conditions else ALWAYS
        return found.turned() if group.negated else found

    def _one(self, rule: Rule | Match | Group, thing: str) -> Condition:
        if isinstance(rule, Group):
            return self.group(rule, thing)
        if isinstance(rule, Match):
            return self._match(rule)
        if thing:
            kind = next(each.kind for each in _KINDS[thing].fields if each.name == rule.field)
            return operators.condition(_COLUMNS[thing][rule.field], kind, rule.operator, rule.value, self._now)
        return self._attribute(rule)

    def _attribute(self, rule: Rule) -> Condition:
        name, operator, value = rule.field, rule.operator, rule.value
        if name == "segment":
            return self._segment(operator, value)
        if name == "organization":
            return self.organization(operator, value)
        if name == "age":
            return operators.age(_OWN[name], operator, value, self._now)
        if name in _CHOSEN:
            return self._chosen(name, operator, value)
        if name.startswith(("has_", "marketing_")):
            return self._flag(name, operator, value)
        return operators.condition(_OWN[name], _KINDS[name].kind, operator, value, self._now)

    def _match(self, rule: Match) -> Condition:
        mode, threshold = rule.mode, rule.threshold
        if mode == "all":
            return self._with(rule.field, self.group(rule.group, rule.field).turned()).turned()
        within = self.group(rule.group, rule.field)
        if mode == "some" or (mode == "atLeast" and threshold == 1):
            return self._with(rule.field, within)
        if mode == "none" or threshold == 0:
            return self._with(rule.field, within).turned()
        if mode == "atMost":
            return self._with(rule.field, within, "count(*) > %s", threshold).turned()
        return self._with(rule.field, within, f"count(*) {'=' if mode == 'exactly' else '>='} %s", threshold)

    def _with(self, thing: str, within: Condition, having: str = "", *threshold: int) -> Condition:
        """That there are things of the patient of which `within` holds."""
        table, owner, known = _FROM[thing]
        conditions = [Condition(known)] if known else []
        if self._among is not None:
            mine = _AMONG.get(thing, f"{owner} = ANY (%s::uuid[])")
            conditions.append(Condition(mine, (self._among,) * mine.count("%s")))
        where = operators.joined("and", [*conditions, within])
        counted = f" GROUP BY 1 HAVING {having}" if having else ""
        return Condition(
            f"p.id IN (SELECT {owner} FROM {table} WHERE {where.sql}{counted})", (*where.params, *threshold)
        )

    def _segment(self, operator: str, value: Any) -> Condition:
        wanted = value if isinstance(value, tuple) else (value,)
        found = operators.joined("or", [self.group(self._segments[each]) for each in wanted])
        return found.turned() if operator in ("!=", "notIn") else found

    def organization(self, operator: str, value: Any) -> Condition:
        """The patient's, else their provider's."""
        opposite = operators.OPPOSITE.get(operator)
        if opposite:
            return self.organization(opposite, value).turned()
        own = operators.condition("p.organization_id", fields.ORGANIZATION, operator, value, self._now)
        theirs = operators.condition("v.organization_id", fields.ORGANIZATION, operator, value, self._now)
        return Condition(
            f"({own.sql} OR (p.organization_id IS NULL AND p.provider_id IS NOT NULL"
            f" AND p.provider_id IN (SELECT v.id FROM comm_providers v WHERE {theirs.sql})))",
            (*own.params, *theirs.params),
        )

    def _chosen(self, name: str, operator: str, value: Any) -> Condition:
        """The patient's own choice, else what was reported."""
        opposite = operators.OPPOSITE.get(operator)
        if opposite:
            return self._chosen(name, opposite, value).turned()
        said = operators.condition(f"r.{name}", fields.TEXT, operator, value, self._now)
        reported = operators.condition(f"p.{name}", fields.TEXT, operator, value, self._now)
        chose, chose_so = self._preferences(Condition(f"r.{name} IS NOT NULL")), self._preferences(said)
        return operators.joined("or", [chose_so, operators.joined("and", [reported, chose.turned()])])

    def _preferences(self, within: Condition) -> Condition:
        return self._owned("patient_comm_prefs r", "r.patient_id", within)

    def _flag(self, name: str, operator: str, value: bool) -> Condition:
        kind, _, channel = name.partition("_")
        if kind == "has":
            found = self._owned("comm_addresses c", "c.patient_id", Condition("c.channel = %s", (channel,)))
        else:
            found = self._preferences(Condition(_MARKETING[channel]))
        return found if (operator == "=") is value else found.turned()

    def _owned(self, table: str, owner: str, within: Condition) -> Condition:
        mine = [] if self._among is None else [Condition(f"{owner} = ANY (%s::uuid[])", (self._among,))]
        where = operators.joined("and", [*mine, within])
        return Condition(f"p.id IN (SELECT {owner} FROM {table} WHERE {where.sql})", where.params)


_MARKETING = {each: f"r.marketing_opt_in_{each}" for each in ("email", "sms", "whatsapp")}
