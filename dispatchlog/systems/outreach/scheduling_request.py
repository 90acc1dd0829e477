"""One request to write to a patient: what was read for it, decided, and written as a job. Reads and stores nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dispatchlog.engine.tables import new_id
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import portal, templates
from dispatchlog.systems.outreach.contacts import address_hash, open_text
from dispatchlog.systems.outreach.deciding import (
    FORBIDS,
    Candidate,
    Decision,
    can_wait,
    choice_document,
    codes,
    decide,
    is_urgent,
    order_of,
)
from dispatchlog.systems.outreach.inputs import OutreachError, ScheduleInput
from dispatchlog.systems.outreach.lane import SUBJECT, route_of
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.optimiser.choosing import CONTENT, Advice, Choice
from dispatchlog.systems.outreach.optimiser.evidence import Evidence, rows_of
from dispatchlog.systems.outreach.portal import Link
from dispatchlog.systems.outreach.preferences import Preferences
from dispatchlog.systems.outreach.rendering import render, variant_for, with_link
from dispatchlog.systems.outreach.scheduling_reads import About, Texts
from dispatchlog.systems.outreach.states import MARKETING, Channel, Purpose
from dispatchlog.systems.outreach.templates import Template
from dispatchlog.systems.outreach.times import zone

CONFIRMATION = "confirmation"
_ABOUT_APPOINTMENT = frozenset({Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER})
_OVER = frozenset({"cancelled", "completed", "no_show"})
_LATE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Written:
    """A job as it is to be stored, with the links in its text, what the audit says of it, and what was chosen for it."""

    row: Mapping[str, Any]
    decision: Decision
    channel: Channel
    links: Sequence[Link]
    details: Mapping[str, Any]
    choices: Sequence[Mapping[str, Any]] = ()


class Request:
    """One request in its transaction: what was read for it, decided, and written.

    Raises:
        OutreachError: SEND_AT_PAST, APPOINTMENT_NOT_FOUND, APPOINTMENT_OVER, UNKNOWN_TEMPLATE, TEMPLATE_MISMATCH,
            URGENT_NOT_ALLOWED.
    """

    def __init__(
        self,
        wanted: ScheduleInput,
        about: About,
        preferences: Preferences,
        *,
        trace_id: str,
        key: str | None,
        sha256: bytes,
    ) -> None:
        self.now = datetime.now(UTC)
        self.about = about
        self.wanted = _with_limits(wanted, about, self.now)
        self.trace_id = trace_id
        self.key = key
        self.sha256 = sha256
        self.job_id = new_id()
        self.preferences = preferences
        self.templates = _templates(self.wanted, preferences, about)
        if is_urgent(self.wanted) and any(map(self._is_marketing, self.templates.values())):
            raise OutreachError("marketing is never urgent", code="URGENT_NOT_ALLOWED", field="is_urgent")

    @property
    def is_limited(self) -> bool:
        """Whether what the patient gets besides counts."""
        limited = any(self._is_limited(channel, template) for channel, template in self.templates.items())
        return limited and not is_urgent(self.wanted)

    def write(self, texts: Texts, evidence: Evidence | None = None) -> Written:
        """Decide, and write the job; `evidence` is what the optimiser knows, where it may take part.

        Raises:
            OutreachError: UNKNOWN_TEMPLATE, NO_ADDRESS, and those of rendering.
        """
        candidates = self._candidates(texts)
        advice = evidence.advice(self.preferences, seed=self.job_id) if evidence else None
        decision = decide(self.wanted, self.preferences, candidates, now=self.now, advice=advice)
        channel = decision.channel or self._refused_channel(decision, candidates)
        text = self._choose_text(channel, advice) if advice and not decision.refused else None
        if text:
            decision = _with_text(decision, text)
        links: list[Link] = []
        row = self._row(channel, decision, links, variant=text.arm if text else self.wanted.ab_variant)
        chosen = self._chosen(decision, row)
        return Written(row, decision, channel, tuple(links), self._details(channel, decision), chosen)

    def _choose_text(self, channel: Channel, advice: Advice) -> Choice | None:
        """Among the variants of the channel's template, unless a test of the campaign's own has drawn one."""
        template = self.templates[channel]
        usual = variant_for(template, str(self.wanted.patient_id))
        waits = can_wait(self.wanted, is_marketing=self._is_marketing(template))
        if usual is None or self.wanted.ab_variant is not None or not waits:
            return None
        variants = [each.name for each in template.variants if each.weight]
        return advice.choose(CONTENT, variants, context=f"{template.id}:{template.version}", default=usual)

    def _chosen(self, decision: Decision, row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        at = decision.at.astimezone(zone(self.preferences.timezone.value))
        return rows_of(decision.choices, row, at=at)

    def _candidates(self, texts: Texts) -> dict[Channel, Candidate]:
        return {
            channel: Candidate(
                channel,
                template.id,
                template.language,
                is_available=bool(route_of(channel)),
                is_marketing=self._is_marketing(template),
                texts_at=self._texts(channel, template, texts),
            )
            for channel, template in self.templates.items()
        }

    def _texts(self, channel: Channel, template: Template, texts: Texts) -> Sequence[datetime]:
        if is_urgent(self.wanted) or not self._is_limited(channel, template):
            return ()
        return texts.get((self.wanted.patient_id, channel, self._is_marketing(template)), ())

    def _is_marketing(self, template: Template) -> bool:
        return template.is_marketing or self.wanted.purpose in MARKETING

    def _is_limited(self, channel: Channel, template: Template) -> bool:
        preference = self.preferences.channels[channel]
        if not preference.enabled.value or not preference.address.value or preference.stopped_at is not None:
            return False
        law = legal_rules(
            channel,
            country=self.preferences.country,
            region=self.preferences.region,
            marketing=self._is_marketing(template),
        )
        return law.per_day is not None or law.per_week is not None

    def _refused_channel(self, decision: Decision, candidates: Mapping[Channel, Candidate]) -> Channel:
        """Under which channel the no is kept: the first considered that has a text.

        Raises:
            OutreachError: UNKNOWN_TEMPLATE, NO_ADDRESS, where nobody's choice but what is stored forbids it.
        """
        found = codes(decision)
        if not candidates:
            raise OutreachError(
                f"there is no text for {self.wanted.purpose}", code="UNKNOWN_TEMPLATE", field="template_id"
            )
        if "NO_ADDRESS" in found.values() and not FORBIDS & {*found.values()} and decision.refused == "NO_CHANNEL":
            raise OutreachError(
                "no address is known by which this patient may be reached",
                code="NO_ADDRESS",
                field="preferred_channel" if self.wanted.preferred_channel else "patient_id",
                present=found,
            )
        return next(channel for channel in order_of(self.wanted, candidates) if channel in candidates)

    def _row(self, channel: Channel, decision: Decision, links: list[Link], *, variant: str | None) -> dict[str, Any]:
        wanted, template, refused = self.wanted, self.templates[channel], bool(decision.refused)
        rendered = render(
            template,
            self._variables(template),
            standing=_standing(wanted, self.about),
            # An hour is told as the clock at the appointment's place shows it.
            zone=self.about["appointment_timezone"] or self.preferences.timezone.value,
            bucket=str(wanted.patient_id),
            variant=variant,
        )
        link = ""
        if rendered.portal_mark and not refused:
            ends = decision.at + timedelta(days=get_settings().outreach_portal_days)
            links.append(portal.message_link(wanted.patient_id, self.job_id, rendered.portal_text, expires_at=ends))
            link = links[-1].address
        text = with_link(rendered, link)
        document = {**decision.document, "withheld": list(rendered.withheld)}
        if wanted.template_id:
            document["template_chosen"] = True
        if wanted.fallback_of:
            document["instead_of"] = str(wanted.fallback_of)
        if wanted.appointment_id:
            document["appointment_starts_at"] = self.about["starts_at"].isoformat()
        address = "" if refused else self.preferences.channels[channel].address.value or ""
        return {
            "id": self.job_id,
            "route": route_of(channel) or f"{channel}-none",
            "patient_id": wanted.patient_id,
            "template_id": template.id,
            "template_version": template.version,
            "campaign_id": wanted.campaign_id,
            "campaign_step": wanted.campaign_step,
            "appointment_id": wanted.appointment_id,
            "organization_id": self.preferences.organization_id,
            "provider_id": self.about["provider_id"],
            "purpose": str(wanted.purpose),
            "channel": str(channel),
            "language": template.language,
            "is_marketing": self._is_marketing(template),
            "recipient": address,
            "recipient_hash": address_hash(channel, address) if address else None,
            "subject": text.subject,
            "body": text.body,
            "provider_template": json.dumps(text.provider_template),
            "variables": json.dumps(dict(wanted.variables), default=str),
            "preferences_link": "" if refused else self._preferences_link(channel, template, links),
            "scheduled_at": decision.at,
            "due_at": decision.at,
            "expires_at": wanted.expires_at,
            "priority": int(is_urgent(wanted)),
            "is_urgent": is_urgent(wanted),
            "ab_variant": rendered.variant,
            "decision": json.dumps(document),
            "asks": _asks(wanted),
            "fallback_of": wanted.fallback_of,
            "request_key": self.key,
            "request_sha256": self.sha256,
            "last_error_code": decision.refused or None,
            "last_error": decision.document["refused"]["words"] if refused else None,
            "subject_id": f"{SUBJECT}{wanted.patient_id}",
            "search_keys": [str(each) for each in (wanted.patient_id, wanted.appointment_id) if each],
            "trace_id": self.trace_id,
        }

    def _variables(self, template: Template) -> dict[str, Any]:
        """Those of this text. One that only another channel's text has is none too many; one that none has is."""
        own = {each.name for each in template.variables}
        others = {each.name for other in self.templates.values() for each in other.variables} - own
        return {name: value for name, value in self.wanted.variables.items() if name not in others}

    def _preferences_link(self, channel: Channel, template: Template, links: list[Link]) -> str:
        if channel is not Channel.EMAIL:
            return ""
        marketing = self._is_marketing(template)
        links.append(
            portal.preferences_link(self.wanted.patient_id, channel=channel, marketing=marketing, job_id=self.job_id)
        )
        return links[-1].address

    def _details(self, channel: Channel, decision: Decision) -> dict[str, Any]:
        """For the audit."""
        return {
            "job": str(self.job_id),
            "purpose": str(self.wanted.purpose),
            "channel": str(channel),
            "codes": codes(decision),
            "refused": decision.refused,
            "urgent": is_urgent(self.wanted),
        }


def _with_text(decision: Decision, text: Choice) -> Decision:
    others = decision.document.get("optimiser", [])
    document = {**decision.document, "optimiser": [*others, choice_document(text)]}
    return replace(decision, document=document, choices=(*decision.choices, text))


def _with_limits(wanted: ScheduleInput, about: About, now: datetime) -> ScheduleInput:
    """The request with the instant after which it is of no use.

    Raises:
        OutreachError: SEND_AT_PAST, APPOINTMENT_NOT_FOUND, APPOINTMENT_OVER.
    """
    if wanted.send_at is not None and wanted.send_at < now - _LATE:
        raise OutreachError("send_at has passed", code="SEND_AT_PAST", field="send_at")
    if wanted.appointment_id is None:
        return wanted
    if about["appointment_id"] is None:
        raise OutreachError(
            "this patient has no such appointment", code="APPOINTMENT_NOT_FOUND", field="appointment_id"
        )
    if wanted.purpose not in _ABOUT_APPOINTMENT:
        return wanted
    if about["appointment_status"] in _OVER or about["starts_at"] <= now:
        raise OutreachError("the appointment is cancelled or over", code="APPOINTMENT_OVER", field="appointment_id")
    ends = min(wanted.expires_at, about["starts_at"]) if wanted.expires_at else about["starts_at"]
    return replace(wanted, expires_at=ends)


def _templates(wanted: ScheduleInput, preferences: Preferences, about: About) -> Mapping[Channel, Template]:
    """The texts to choose from: those that hold for the patient, or the one that was asked for."""
    if wanted.template_id is None:
        return templates.templates_for(
            wanted.purpose,
            language=preferences.language.value,
            organization_id=preferences.organization_id,
            provider_id=about["provider_id"],
            family=wanted.template_family or "",
        )
    chosen = templates.template(wanted.template_id)
    if not chosen.is_active:
        raise OutreachError("this template is turned off", code="UNKNOWN_TEMPLATE", field="template_id")
    own = (None, preferences.organization_id, about["provider_id"])
    for fits, what in (
        (chosen.purpose is wanted.purpose, f"is for {chosen.purpose}"),
        (wanted.preferred_channel in (None, chosen.channel), f"is for {chosen.channel}"),
        (chosen.organization_id in own and chosen.provider_id in own, "belongs to somebody else's patients"),
    ):
        if not fits:
            raise OutreachError(f"this template {what}", code="TEMPLATE_MISMATCH", field="template_id")
    return {chosen.channel: chosen}


def _standing(wanted: ScheduleInput, about: About) -> dict[str, str]:
    name = (open_text(about["name_sealed"], wanted.patient_id) or "").split()
    return {
        "patient_first_name": name[0] if name else "",
        "organization_name": about["organization_name"],
        "provider_name": about["provider_name"],
        "organization_phone": about["organization_phone"],
        "opt_out_hint": "",  # in the language of the text
    }


def _asks(wanted: ScheduleInput) -> str:
    if wanted.asks is not None:
        return wanted.asks
    return CONFIRMATION if wanted.appointment_id and wanted.purpose in _ABOUT_APPOINTMENT else ""
