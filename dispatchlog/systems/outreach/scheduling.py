"""The orchestrator: a request becomes a job of lane `comm_job` with its text rendered, or a clear no. One transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import audit, portal, templates
from dispatchlog.systems.outreach.contacts import address_hash, open_text
from dispatchlog.systems.outreach.deciding import FORBIDS, Candidate, Decision, codes, decide, is_urgent, order_of
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.lane import LANE, SUBJECT, comm_job_lane, route_of
from dispatchlog.systems.outreach.legal import legal_rules
from dispatchlog.systems.outreach.patients import not_found
from dispatchlog.systems.outreach.preferences import Preferences, resolve
from dispatchlog.systems.outreach.rendering import render, with_link
from dispatchlog.systems.outreach.states import MARKETING, AuditAction, Channel, Purpose
from dispatchlog.systems.outreach.templates import Template

CONFIRMATION = "confirmation"
_ABOUT_APPOINTMENT = frozenset({Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER})
_OVER = frozenset({"cancelled", "completed", "no_show"})
_LATE = timedelta(seconds=60)
_LONGEST_KEY = 255
# How long a provider usually takes from us to the patient.
_ON_ITS_WAY = {
    Channel.EMAIL: timedelta(seconds=60),
    Channel.SMS: timedelta(seconds=15),
    Channel.WHATSAPP: timedelta(seconds=10),
}

_ABOUT = """
SELECT p.name_sealed, v.id AS provider_id, coalesce(v.name, '') AS provider_name, coalesce(o.name, '') AS organization_name,
    coalesce(o.phone, '') AS organization_phone, a.id AS appointment_id, a.starts_at, a.status AS appointment_status,
    coalesce(a.timezone, '') AS appointment_timezone,
    j.id AS job_id, j.request_sha256, j.scheduled_at, j.channel, j.decision
FROM patients p LEFT JOIN comm_appointments a ON a.id = %(appointment)s AND a.patient_id = p.id
LEFT JOIN comm_providers v ON v.id = coalesce(a.provider_id, p.provider_id)
LEFT JOIN comm_organizations o ON o.id = coalesce(p.organization_id, v.organization_id)
LEFT JOIN comm_jobs j ON j.request_key = %(key)s
WHERE p.id = %(patient)s
"""
# Two statements in one question: the second sees what was committed before the lock was given.
_TEXTS = """
SELECT pg_advisory_xact_lock(hashtextextended(%(lock)s, 7240125));
SELECT channel, coalesce(sent_at, greatest(scheduled_at, due_at)) FROM comm_jobs WHERE patient_id = %(patient)s
    AND scheduled_at > now() - interval '8 days' AND channel = ANY (%(channels)s) AND is_marketing = %(marketing)s
    AND NOT is_urgent AND status <> 'CANCELLED' AND (status <> 'FAILED' OR in_doubt)
"""

About = Mapping[str, Any]


class _TwinError(Exception):
    """The same request was stored by somebody else at this moment."""


def schedule(wanted: ScheduleInput, *, asker: Asker, trace_id: str) -> Scheduled:
    """Decide, render, store, audit and wake; the same `request_key` of the same actor gives the same job.

    Where consent or a stop forbids it, a job is stored all the same, cancelled, with the decision (`refused` says why).

    Raises:
        OutreachError: PATIENT_NOT_FOUND, UNKNOWN_TEMPLATE, TEMPLATE_MISMATCH (its purpose or channel is another),
            UNKNOWN_VARIABLE, MISSING_VARIABLE, INVALID_VARIABLE, NO_ADDRESS, SEND_AT_PAST, INVALID_DATE,
            APPOINTMENT_NOT_FOUND, APPOINTMENT_OVER, REQUEST_KEY_REUSED, each with its field; nothing is stored then.
    """
    for name in ("send_at", "expires_at"):
        instant = getattr(wanted, name)
        if instant is not None and instant.tzinfo is None:
            raise OutreachError(f"{name} has no time zone", code="INVALID_DATE", field=name)
    key, sha256 = _request_key(wanted, asker), _fingerprint(wanted)
    try:
        with transaction(asker.actor):
            about = _about(wanted, key)
            if about["job_id"] is not None:
                return _again(about, sha256)
            return _Request(wanted, about, asker=asker, trace_id=trace_id, key=key, sha256=sha256).store()
    except _TwinError:
        with connected():
            return _again(_about(wanted, key), sha256)


def cancel(job_id: UUID, *, asker: Asker, reason: str) -> bool:
    """Cancel a job that waits; False: it is on its way or over.

    Raises:
        OutreachError: JOB_NOT_FOUND.
    """
    with transaction(asker.actor, reason):
        if ledger.cancel_waiting(comm_job_lane(), id=job_id):
            log_action(asker.actor, "cancel", lane=LANE, dispatch_id=job_id, reason=reason)
            return True
        if not fetch_all("SELECT FROM comm_jobs WHERE id = %s", (job_id,)):
            raise OutreachError(f"there is no message {job_id}", code="JOB_NOT_FOUND", field="job_id")
        return False


def cancel_for_appointment(appointment_id: UUID, *, reason: str) -> int:
    """Cancel what waits about an appointment; how many. In the caller's transaction."""
    with transaction("service:outreach", reason):
        return ledger.cancel_waiting(comm_job_lane(), appointment_id=appointment_id)


class _Request:
    """One request in its transaction: what was read for it, decided, and written."""

    def __init__(
        self, wanted: ScheduleInput, about: About, *, asker: Asker, trace_id: str, key: str | None, sha256: bytes
    ) -> None:
        self.now = datetime.now(UTC)
        self.about = about
        self.wanted = _with_limits(wanted, about, self.now)
        self.asker = asker
        self.trace_id = trace_id
        self.key = key
        self.sha256 = sha256
        self.job_id = new_id()
        self.preferences = resolve(wanted.patient_id)
        self.templates = _templates(self.wanted, self.preferences, about)

    def store(self) -> Scheduled:
        candidates = self._candidates()
        decision = decide(self.wanted, self.preferences, candidates, now=self.now)
        channel = decision.channel or self._refused_channel(decision, candidates)
        row = self._row(channel, decision)
        if not ledger.enqueue(comm_job_lane(), [row]):
            raise _TwinError
        if decision.refused:
            with transaction(self.asker.actor, decision.document["refused"]["words"]):
                ledger.cancel_waiting(comm_job_lane(), id=self.job_id)
        elif decision.at <= self.now:
            get_waker().after_commit(comm_job_lane())
        self._audit(channel, decision)
        return Scheduled(
            self.job_id,
            decision.at,
            channel,
            decision.at + _ON_ITS_WAY[channel],
            json.loads(row["decision"]),
            refused=decision.refused,
        )

    def _candidates(self) -> dict[Channel, Candidate]:
        texts = self._texts()
        return {
            channel: Candidate(
                channel,
                template.id,
                template.language,
                is_available=bool(route_of(channel)),
                is_marketing=self._is_marketing(template),
                texts_at=texts.get(channel, ()),
            )
            for channel, template in self.templates.items()
        }

    def _is_marketing(self, template: Template) -> bool:
        return template.is_marketing or self.wanted.purpose in MARKETING

    def _texts(self) -> dict[Channel, list[datetime]]:
        """What counts towards the limits, of the channels that have any and may be used; read under the patient's lock, so
        that two requests cannot both be the first of a day."""
        limited = [channel for channel, template in self.templates.items() if self._is_limited(channel, template)]
        if is_urgent(self.wanted) or not limited:
            return {}
        marketing = self._is_marketing(self.templates[limited[0]])
        found: dict[Channel, list[datetime]] = {}
        names = {
            "lock": f"texts:{self.wanted.patient_id}",
            "patient": self.wanted.patient_id,
            "channels": [str(channel) for channel in limited],
            "marketing": marketing,
        }
        for channel, at in fetch_all(_TEXTS, names):
            found.setdefault(Channel(channel), []).append(at)
        return found

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

    def _row(self, channel: Channel, decision: Decision) -> dict[str, Any]:
        wanted, template, refused = self.wanted, self.templates[channel], bool(decision.refused)
        rendered = render(
            template,
            self._variables(template),
            standing=_standing(wanted, self.about),
            # An hour is told as the clock at the appointment's place shows it.
            zone=self.about["appointment_timezone"] or self.preferences.timezone.value,
            bucket=str(wanted.patient_id),
            variant=wanted.ab_variant,
        )
        link = ""
        if rendered.portal_mark and not refused:
            link = portal.issue_message_link(
                wanted.patient_id,
                self.job_id,
                rendered.portal_text,
                expires_at=decision.at + timedelta(days=get_settings().outreach_portal_days),
            )
        text = with_link(rendered, link)
        document = {**decision.document, "withheld": list(rendered.withheld)}
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
            "preferences_link": "" if refused else self._preferences_link(channel, template),
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
            "search_keys": [
                str(each) for each in (wanted.patient_id, wanted.request_key, wanted.appointment_id) if each
            ],
            "trace_id": self.trace_id,
        }

    def _variables(self, template: Template) -> dict[str, Any]:
        """Those of this text. One that only another channel's text has is none too many; one that none has is."""
        own = {each.name for each in template.variables}
        others = {each.name for other in self.templates.values() for each in other.variables} - own
        return {name: value for name, value in self.wanted.variables.items() if name not in others}

    def _preferences_link(self, channel: Channel, template: Template) -> str:
        if channel is not Channel.EMAIL:
            return ""
        return portal.issue_preferences_link(
            self.wanted.patient_id, channel=channel, marketing=self._is_marketing(template), job_id=self.job_id
        )

    def _audit(self, channel: Channel, decision: Decision) -> None:
        details = {
            "job": str(self.job_id),
            "purpose": str(self.wanted.purpose),
            "channel": str(channel),
            "codes": codes(decision),
            "refused": decision.refused,
            "urgent": is_urgent(self.wanted),
        }
        audit.note(AuditAction.SEND, self.wanted.patient_id, self.asker, details)


def _about(wanted: ScheduleInput, key: str | None) -> About:
    names = {"patient": wanted.patient_id, "appointment": wanted.appointment_id, "key": key}
    found = fetch_dicts(_ABOUT, names)
    if not found:
        raise not_found(wanted.patient_id)
    return found[0]


def _again(about: About, sha256: bytes) -> Scheduled:
    """What became of the same request before."""
    if about["request_sha256"] is None or bytes(about["request_sha256"]) != sha256:
        raise OutreachError(
            "another request was made with this key; take a new key for a new message",
            code="REQUEST_KEY_REUSED",
            field="request_key",
            present={"job_id": str(about["job_id"])},
        )
    channel = Channel(about["channel"])
    refused = about["decision"].get("refused") or {}
    return Scheduled(
        about["job_id"],
        about["scheduled_at"],
        channel,
        about["scheduled_at"] + _ON_ITS_WAY[channel],
        about["decision"],
        refused=refused.get("code", ""),
        created=False,
    )


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


def _request_key(wanted: ScheduleInput, asker: Asker) -> str | None:
    """Keys are an actor's own: two sources may choose the same one."""
    if not wanted.request_key:
        return None
    key = f"{asker.actor}:{wanted.request_key}"
    return key if len(key) <= _LONGEST_KEY else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _fingerprint(wanted: ScheduleInput) -> bytes:
    """32 bytes that differ where anything was asked for differently."""
    asked = {
        name: sorted(value) if name == "not_by" else value
        for name in ScheduleInput.__dataclass_fields__
        if (value := getattr(wanted, name)) is not None
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()
