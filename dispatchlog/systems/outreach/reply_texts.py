"""Our own short answers to a patient's STOP, START and HELP. Owns their words and their way into the lane."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid5

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import execute, fetch_dicts
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach import audit
from dispatchlog.systems.outreach.contacts import address_hash
from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.lane import SUBJECT, comm_job_lane, route_of
from dispatchlog.systems.outreach.states import AuditAction, Channel, Intent, Purpose

# Every message hangs on a template; these answers have one of their own per channel, which nothing else chooses.
_NAMESPACE = UUID("6f3f1d7e-5a0b-4f0e-9d4b-3f6a2f1c8b10")
NAME = "Answers to STOP, START and HELP"
PURPOSE = Purpose.APPT_CONFIRM
# They answer what a patient has just written, so they leave at any hour and count towards no limit.
TEXTS: Mapping[str, Mapping[Intent, str]] = MappingProxyType(
    {
        "en": {
            Intent.STOP: "{clinic}: you will get no more messages here. Reply START to get them again.",
            Intent.START: "{clinic}: you will get messages here again. Reply STOP to end them.",
            Intent.HELP: "{clinic}: questions? Call {phone}. Reply STOP to end messages.",
        },
        "es": {
            Intent.STOP: "{clinic}: no recibirá más mensajes aquí. Responda START para volver a recibirlos.",
            Intent.START: "{clinic}: volverá a recibir mensajes aquí. Responda STOP para terminarlos.",
            Intent.HELP: "{clinic}: ¿preguntas? Llame al {phone}. Responda STOP para no recibir más.",
        },
        "fr": {
            Intent.STOP: "{clinic} : vous ne recevrez plus de messages ici. Répondez START pour en recevoir.",
            Intent.START: "{clinic} : vous recevrez à nouveau des messages. Répondez STOP pour les arrêter.",
            Intent.HELP: "{clinic} : des questions ? Appelez le {phone}. Répondez STOP pour ne plus rien recevoir.",
        },
        "ar": {
            Intent.STOP: "{clinic}: لن تصلك رسائل هنا بعد الآن. أرسل START لاستلامها من جديد.",
            Intent.START: "{clinic}: ستصلك الرسائل هنا من جديد. أرسل STOP لإيقافها.",
            Intent.HELP: "{clinic}: للاستفسار اتصل على {phone}. أرسل STOP لإيقاف الرسائل.",
        },
        "pt": {
            Intent.STOP: "{clinic}: você não receberá mais mensagens aqui. Responda START para voltar a receber.",
            Intent.START: "{clinic}: você voltará a receber mensagens aqui. Responda STOP para parar.",
            Intent.HELP: "{clinic}: dúvidas? Ligue para {phone}. Responda STOP para não receber mais.",
        },
        "hi": {
            Intent.STOP: "{clinic}: अब आपको यहाँ संदेश नहीं आएंगे। फिर से पाने के लिए START लिखें।",
            Intent.START: "{clinic}: आपको यहाँ फिर से संदेश आएंगे। बंद करने के लिए STOP लिखें।",
            Intent.HELP: "{clinic}: सवाल हों तो {phone} पर फ़ोन करें। बंद करने के लिए STOP लिखें।",
        },
        "yo": {
            Intent.STOP: "{clinic}: a kò ní fi ìfiránṣẹ́ ránṣẹ́ sí yín níbí mọ́. Ẹ fi START ránṣẹ́ láti tún gbà á.",
            Intent.START: "{clinic}: ẹ ó tún máa gba ìfiránṣẹ́ níbí. Ẹ fi STOP ránṣẹ́ láti dá a dúró.",
            Intent.HELP: "{clinic}: ẹ ní ìbéèrè? Ẹ pe {phone}. Ẹ fi STOP ránṣẹ́ láti dá ìfiránṣẹ́ dúró.",
        },
    }
)
_HELP_WITHOUT_PHONE = "{clinic}: please call us with your question. Reply STOP to end messages."

_ABOUT = """
SELECT coalesce(o.name, '') AS clinic, coalesce(o.phone, '') AS phone, o.id AS organization_id, p.provider_id
FROM patients p LEFT JOIN comm_providers v ON v.id = p.provider_id
LEFT JOIN comm_organizations o ON o.id = coalesce(p.organization_id, v.organization_id) WHERE p.id = %s
"""


def answer(
    intent: Intent,
    channel: Channel,
    address: str,
    *,
    patient_id: UUID,
    inbound_id: UUID,
    language: str,
    asker: Asker,
    trace_id: str,
) -> UUID | None:
    """Queue the answer, at most one for each incoming message; None where the channel is not set up, or it is there.

    In the caller's transaction. That of a STOP is marked so that the gate lets this one pass.
    """
    route = route_of(channel)
    if not route or channel is Channel.EMAIL:
        return None
    (about,) = fetch_dicts(_ABOUT, (patient_id,))
    spoken = language.partition("-")[0] if language.partition("-")[0] in TEXTS else "en"
    marks = {"reply_to": str(inbound_id), "answers": str(intent)}
    if intent is Intent.STOP:
        marks["reply_to_stop"] = str(inbound_id)
    row = {
        "id": new_id(),
        "route": route,
        "patient_id": patient_id,
        "template_id": _template(channel),
        "template_version": 1,
        "organization_id": about["organization_id"],
        "provider_id": about["provider_id"],
        "purpose": str(PURPOSE),
        "channel": str(channel),
        "language": spoken,
        "recipient": address,
        "recipient_hash": address_hash(channel, address),
        "body": _words(intent, spoken, about),
        "scheduled_at": _now(),
        "is_urgent": True,
        "priority": 1,
        "decision": json.dumps(marks),
        "request_key": f"reply:{inbound_id}",
        "subject_id": f"{SUBJECT}{patient_id}",
        "trace_id": trace_id,
    }
    made = ledger.enqueue(comm_job_lane(), [row])
    if not made:
        return None
    get_waker().after_commit(comm_job_lane())
    details = {"job": str(made[0]), "purpose": "answer", "channel": str(channel), "inbound": str(inbound_id)}
    audit.note(AuditAction.SEND, patient_id, asker, details)
    return made[0]


def _words(intent: Intent, language: str, about: Mapping[str, Any]) -> str:
    clinic = about["clinic"] or "Your clinic"
    text = TEXTS[language][intent]
    if intent is Intent.HELP and not about["phone"]:
        text = _HELP_WITHOUT_PHONE
    return text.format(clinic=clinic, phone=about["phone"])


def _now() -> Any:
    return fetch_dicts("SELECT now() AS now")[0]["now"]


def _template(channel: Channel) -> UUID:
    """The template that these answers hang on; made when first needed, and never active."""
    template_id = uuid5(_NAMESPACE, str(channel))
    body = TEXTS["en"][Intent.HELP].format(clinic="…", phone="…")
    made = execute(
        "INSERT INTO comm_templates (id, name, purpose, channel, language, body, is_active)"
        " VALUES (%s, 'Answers to STOP, START and HELP', %s, %s, 'en', %s, false) ON CONFLICT (id) DO NOTHING",
        (template_id, str(PURPOSE), str(channel), body),
    )
    if made.rowcount:
        execute(
            "INSERT INTO comm_template_versions (template_id, version, body, written_by)"
            " VALUES (%s, 1, %s, 'service:outreach') ON CONFLICT DO NOTHING",
            (template_id, body),
        )
    return template_id
