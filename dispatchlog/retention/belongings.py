"""Which rows of which tables are a patient's, and what an erasure leaves of them. Owns the list; reads and writes nothing.

Every condition is over the table as t with the parameters of `Person`. Rows and their numbers stay; what an audit record
says stays too, for it names nobody but by id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dispatchlog.retention.person import ORDERS
from dispatchlog.row_content import (
    COMM_INBOUND,
    COMM_JOBS,
    COURIER_EVENTS,
    COURIER_MESSAGES,
    ERASED,
    HL7_MESSAGES,
    PHARMACY_ORDERS,
    TICKET_NOTIFICATIONS,
    VISITS,
    SealedRow,
    literal,
)
from dispatchlog.settings import get_settings

_E = f"'{ERASED}'"


@dataclass(frozen=True, slots=True)
class Belonging:
    """A table with a patient's rows.

    Attributes:
        table: its name.
        where: which rows are the patient's.
        erased: what an erasure sets, column by column, to an SQL expression.
        deleted: whether it deletes the rows instead.
        lane: the lane whose dispatches they are, or "".
        record: whether they are part of the medical record, which the law keeps for a while.
        hidden: columns that are no use to the patient, or somebody else's, and are not exported.
    """

    table: str
    where: str
    erased: dict[str, str] = field(default_factory=dict)
    deleted: bool = False
    lane: str = ""
    record: bool = False
    hidden: tuple[str, ...] = ()


_OF_PATIENT = "t.patient_id = ANY (%(uuids)s::uuid[])"
_BY_MAIL = "lower(t.recipient_email) = ANY (%(emails)s)"
_OF_ORDERS = f"t.order_id IN (SELECT t.id FROM pharmacy_orders t WHERE {ORDERS})"
_OF_TICKETS = "t.ticket_id IN (SELECT h.id FROM healthcare_tickets h WHERE h.patient_id = ANY (%(uuids)s::uuid[]))"
_OF_THREADS = (
    "t.thread_id IN (SELECT c.id FROM chat_threads c JOIN healthcare_tickets h ON h.id = c.ticket_id"
    " WHERE h.patient_id = ANY (%(uuids)s::uuid[]))"
)
_OF_STUDENT = "(t.school_id = %(school_id)s::uuid AND t.student_number = %(student_number)s)"
_DISPATCH = {"last_error": "NULL", "search_keys": "'{}'"}
_MAIL = {**_DISPATCH, "recipient_email": "NULL"}
_TECHNICAL = (
    "claim_token",
    "claimed_by",
    "search_keys",
    "recipient_hash",
    "request_sha256",
    "address_hash",
    "token_hash",
)


def _emptied(row: SealedRow, **others: str) -> dict[str, str]:
    """Its sealed value is gone, and in each column stands what says nothing, or what is given."""
    return {row.column: "NULL", **{name: literal(nothing) for name, nothing in row.fields.items()}, **others}


def lanes() -> list[Belonging]:
    """The lanes' rows: what was, or will be, sent to or about the patient."""
    mail = f"({_BY_MAIL})"
    courier = f"({_OF_ORDERS})"
    return [
        Belonging("kit_registrations", mail, _MAIL, lane="kit_registration", hidden=_TECHNICAL),
        Belonging("health_information_dispatch_logs", mail, _MAIL, lane="health_information", hidden=_TECHNICAL),
        Belonging(
            "hl7_messages",
            _OF_STUDENT,
            {
                **_DISPATCH,
                **_emptied(HL7_MESSAGES, student_name=_E),
                "student_number": _E,
                "subject_id": f"'{ERASED}:' || t.id",
                "ordering_key": "NULL",
            },
            lane="hl7",
            record=True,
            hidden=_TECHNICAL,
        ),
        Belonging("courier_bookings", courier, _DISPATCH, lane="courier_booking", hidden=_TECHNICAL),
        Belonging("courier_cancellations", courier, _DISPATCH, lane="courier_cancellation", hidden=_TECHNICAL),
        Belonging(
            "courier_messages",
            f"({_OF_ORDERS} AND t.recipient_role = 'PATIENT')",
            {**_DISPATCH, **_emptied(COURIER_MESSAGES)},
            lane="courier_message",
            hidden=_TECHNICAL,
        ),
        Belonging(
            "ticket_notifications",
            "t.party_id = ANY (%(uuids)s::uuid[])",
            {**_DISPATCH, **_emptied(TICKET_NOTIFICATIONS)},
            lane="ticket_notification",
            hidden=_TECHNICAL,
        ),
        Belonging(
            "comm_jobs",
            _OF_PATIENT,
            {**_DISPATCH, **_emptied(COMM_JOBS), "recipient_hash": "NULL"},
            lane="comm_job",
            hidden=_TECHNICAL,
        ),
    ]


def of_dispatches() -> list[Belonging]:
    """What hangs on the lanes' rows; `%(dispatches)s` are their ids."""
    mine = "t.dispatch_id = ANY (%(dispatches)s::uuid[])"
    return [
        Belonging(
            "dispatch_payloads",
            mine,
            {"body": "NULL", "recipient": "''", "headers": "'{}'", "sealed": "NULL"},
            hidden=("sha256",),
        ),
        Belonging(
            "dispatch_attempts", mine, {"message": "NULL", "evidence": "'{}'"}, hidden=("claim_token", "worker_id")
        ),
        Belonging("dispatch_search", mine, deleted=True),
        Belonging("dispatch_escalations", mine, {"note": _E}, hidden=("claim_token",)),
        Belonging("dispatch_replay_rows", mine, {"note": "NULL"}),
        Belonging("bulk_items", mine, {"message": "NULL"}),
    ]


def others() -> list[Belonging]:
    """All other rows, in the order in which they are erased: what names others by the patient's data comes first."""
    settings = get_settings()
    of_orders = _OF_ORDERS.replace("t.order_id", "d.order_id")
    courier = f"t.dispatch_id IN (SELECT d.id FROM courier_dispatches d WHERE {of_orders})"
    return [
        Belonging(settings.order_kits_table, f"({_BY_MAIL})", {"recipient_email": "NULL"}),
        Belonging(
            "visits",
            _OF_STUDENT,
            {**_emptied(VISITS, student_name=_E), "student_number": _E},
            record=True,
            hidden=("record_sha256",),
        ),
        Belonging("courier_events", f"({courier})", {**_emptied(COURIER_EVENTS), "reason": "''"}),
        Belonging(
            "courier_dispatches",
            f"({_OF_ORDERS})",
            {"tracking_url": "NULL", "failure_reason": "NULL", "cancel_reason": "NULL", "job_references": "'{}'"},
            hidden=("code_hash", "driver_name", "driver_phone"),
        ),
        Belonging("pharmacy_order_items", f"({_OF_ORDERS})", {"name": _E}, record=True),
        Belonging(
            "pharmacy_orders",
            ORDERS,
            {
                **_emptied(PHARMACY_ORDERS, patient_name=_E, address=_E),
                "city": "''",
                "payment_reference": "NULL",
            },
            record=True,
            hidden=("document_sha256",),
        ),
        Belonging("chat_messages", f"({_OF_THREADS})", {"body": _E, "attachments": "'[]'"}, record=True),
        Belonging("prescription_drafts", f"({_OF_TICKETS})", deleted=True),
        Belonging(
            "prescription_items",
            "t.prescription_id IN (SELECT p.id FROM prescriptions p WHERE p.patient_id = ANY (%(uuids)s::uuid[]))",
            {
                "name": _E,
                "strength": "''",
                "form": "''",
                "dosage": "''",
                "frequency": "''",
                "duration": "''",
                "quantity": "''",
                "instructions": "''",
            },
            record=True,
        ),
        Belonging("prescriptions", _OF_PATIENT, {"notes": "''"}, record=True),
        Belonging("healthcare_tickets", _OF_PATIENT, record=True),
        Belonging("care_people", "t.party_id = ANY (%(uuids)s::uuid[])", {"name": _E}, hidden=("user_id",)),
        Belonging(
            "care_parties", "t.kind = 'patient' AND t.id = ANY (%(uuids)s::uuid[])", {"name": _E, "email": "NULL"}
        ),
        Belonging(
            "comm_events",
            "t.job_id IN (SELECT j.id FROM comm_jobs j WHERE j.patient_id = ANY (%(uuids)s::uuid[]))",
            {"body": "'{}'"},
        ),
        Belonging("comm_inbound", _OF_PATIENT, {**_emptied(COMM_INBOUND, body=_E), "note": "''"}),
        Belonging("comm_reschedule_requests", _OF_PATIENT, {"note": "''"}),
        Belonging("comm_appointments", _OF_PATIENT, {"place": "''"}),
        Belonging(
            "comm_consents",
            _OF_PATIENT,
            {"evidence": "'{}'", "ip_address": "NULL", "user_agent": "NULL"},
            hidden=("address_hash",),
        ),
        Belonging(
            "comm_portal_tokens",
            _OF_PATIENT,
            {"content_sealed": "NULL", "revoked_at": "coalesce(t.revoked_at, clock_timestamp())"},
            hidden=("token_hash",),
        ),
        Belonging("comm_choices", _OF_PATIENT, hidden=("arms", "propensity")),
        Belonging("comm_campaign_sends", _OF_PATIENT),
        Belonging("comm_campaign_audience", _OF_PATIENT, deleted=True),
        Belonging("comm_learned", "t.scope = 'patient' AND t.scope_id = ANY (%(uuids)s::uuid[])", deleted=True),
        Belonging("comm_audit_log", _OF_PATIENT, hidden=("user_id", "actor")),
        Belonging(
            "patient_reads",
            "t.subject = ANY (%(ids)s)",
            hidden=("actor", "user_id", "filter", "trace_id", "ip_address", "database_user"),
        ),
        Belonging("comm_addresses", _OF_PATIENT, deleted=True, hidden=("address_hash",)),
        Belonging("patient_names", _OF_PATIENT, deleted=True, hidden=("word_hash",)),
        Belonging(
            "patient_comm_prefs",
            _OF_PATIENT,
            {"email_address": "NULL", "sms_number": "NULL", "whatsapp_number": "NULL"},
        ),
        Belonging(
            "patients",
            "t.id = ANY (%(uuids)s::uuid[])",
            {
                "email_sealed": "NULL",
                "phone_sealed": "NULL",
                "birth_date": "NULL",
                "gender": "DEFAULT",
                "tags": "DEFAULT",
                "region": "''",
                "active": "false",
            },
        ),
    ]
