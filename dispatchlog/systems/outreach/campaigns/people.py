"""A campaign's patients, counted in one pass by what decides about texts: language, level, ways to them. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.campaigns.plans import Plan, Step
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.lane import route_of
from dispatchlog.systems.outreach.segments.compiling import Compiled
from dispatchlog.systems.outreach.states import MARKETING, Channel
from dispatchlog.systems.outreach.template_values import Template


@dataclass(frozen=True, slots=True)
class People:
    """So many patients that read the same language, of the same organisation and provider where these have texts of their
    own. `ways`: by which channels a message of care reaches them, `marketing`: by which marketing does."""

    number: int
    language: str
    organization_id: UUID | None
    provider_id: UUID | None
    ways: frozenset[Channel]
    marketing: frozenset[Channel]


# Values come from the same levels in the same order as `resolving` takes them.
_ADDRESSES = {
    Channel.EMAIL: "coalesce(pr.email_address, p.email_sealed)",
    Channel.SMS: "coalesce(pr.sms_number, p.phone_sealed)",
    Channel.WHATSAPP: "coalesce(pr.whatsapp_number, p.phone_sealed)",
}
_PEOPLE = """
WITH stopped AS MATERIALIZED (
    SELECT a.patient_id, bool_or(a.channel = 'email') AS email, bool_or(a.channel = 'sms') AS sms,
        bool_or(a.channel = 'whatsapp') AS whatsapp
    FROM comm_stops s JOIN comm_addresses a ON a.channel = s.channel AND a.address_hash = s.address_hash
    GROUP BY a.patient_id
)
SELECT count(*), coalesce(pr.language, p.language, dp.language, d.language, dg.language),
    CASE WHEN coalesce(p.organization_id, v.organization_id) = ANY (%s::uuid[])
        THEN coalesce(p.organization_id, v.organization_id) END,
    CASE WHEN p.provider_id = ANY (%s::uuid[]) THEN p.provider_id END,
    {ways}
FROM patients p JOIN patient_comm_prefs pr ON pr.patient_id = p.id
CROSS JOIN (SELECT * FROM comm_pref_defaults WHERE level = 'global') dg
LEFT JOIN comm_providers v ON v.id = p.provider_id
LEFT JOIN comm_pref_defaults dp ON dp.level = 'provider' AND dp.owner_id = p.provider_id
LEFT JOIN comm_pref_defaults d ON d.level = 'organization' AND d.owner_id = coalesce(p.organization_id, v.organization_id)
LEFT JOIN stopped ON stopped.patient_id = p.id
WHERE {where}
GROUP BY 2, 3, 4, 5, 6, 7, 8, 9, 10
"""


def _way(channel: Channel) -> str:
    name = f"allow_{channel}"
    return (
        f"{_ADDRESSES[channel]} IS NOT NULL AND stopped.{channel} IS NOT TRUE"
        f" AND coalesce(pr.{name}, dp.{name}, d.{name}, dg.{name}, false)"
    )


_WAYS = ",\n    ".join(
    (*map(_way, Channel), *(f"{_way(channel)} AND pr.marketing_opt_in_{channel}" for channel in Channel))
)


def people_of(audience: Compiled, plan: Plan) -> Sequence[People]:
    """The audience in groups. Within `membership.whole_tables`."""
    families = {(step.purpose, step.family) for step in plan.steps}
    own = [each for each in templates.every_template() if each.is_active and (each.purpose, each.family) in families]
    organizations = {each.organization_id for each in own if each.organization_id}
    providers = {each.provider_id for each in own if each.provider_id}
    rows = fetch_all(
        _PEOPLE.format(ways=_WAYS, where=audience.where),
        (as_uuids([*organizations]), as_uuids([*providers]), *audience.params),
    )
    return [
        People(
            number=row[0],
            language=row[1],
            organization_id=row[2],
            provider_id=row[3],
            ways=_channels(row[4:7]),
            marketing=_channels(row[7:10]),
        )
        for row in rows
    ]


def count(audience: Compiled) -> int:
    """How many patients the condition means. Within `membership.whole_tables`."""
    ((number,),) = fetch_all(f"SELECT count(*) FROM patients p WHERE {audience.where}", audience.params)
    return int(number)


def sample(audience: Compiled, number: int) -> Sequence[UUID]:
    """A few of them. Within `membership.whole_tables`."""
    rows = fetch_all(f"SELECT p.id FROM patients p WHERE {audience.where} LIMIT %s", (*audience.params, number))
    return [patient_id for (patient_id,) in rows]


def texts_for(step: Step, people: People) -> Mapping[Channel, Template]:
    """The texts that these would get, by channel, of the channels by which the step may go and that are set up."""
    found = templates.templates_for(
        step.purpose,
        language=people.language,
        organization_id=people.organization_id,
        provider_id=people.provider_id,
        family=step.family,
    )
    return {channel: text for channel, text in found.items() if step.channel in (None, channel) and route_of(channel)}


def ways_of(step: Step, people: People) -> frozenset[Channel]:
    """By which channels the step reaches these now."""
    open_to = people.marketing if step.purpose in MARKETING else people.ways
    return open_to & texts_for(step, people).keys()


def missing_languages(plan: Plan, people: Sequence[People]) -> Iterator[OutreachError]:
    """MISSING_LANGUAGE for each step without a text in a language, or its main one, that some of these read."""
    for n, step in enumerate(plan.steps):
        lacking: Counter[str] = Counter()
        for group in people:
            read = {group.language.lower(), group.language.partition("-")[0].lower()}
            if not any(text.language.lower() in read for text in texts_for(step, group).values()):
                lacking[group.language] += group.number
        if lacking:
            languages = dict(lacking.most_common())
            told = ", ".join(f"{language} ({number:,} patients)" for language, number in languages.items())
            yield OutreachError(
                f"there is no text in {told}",
                code="MISSING_LANGUAGE",
                field=f"steps[{n}].family",
                present={"languages": languages},
            )


def _channels(flags: Sequence[bool]) -> frozenset[Channel]:
    return frozenset(channel for channel, flag in zip(Channel, flags, strict=True) if flag)
