"""The two lanes of the kits system: registering a kit (step 1), and the health-information form a day later.

Owns what is sent and what follows from it; which orders qualify is decided in `kit_orders`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.kit_registry import HttpKitRegistry, LocalKitRegistry
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.row_content import PAYLOADS
from dispatchlog.settings import get_settings
from dispatchlog.systems.form_links import sign_form_token
from dispatchlog.systems.kit_names import kits_of_orders, name_of
from dispatchlog.systems.mail import compose_health_information, envelope_address, mask_kit_id, recipient_address
from models import HealthInformationDispatchLog, KitRegistration

REGISTER_QUEUE = "AUTO_REGISTER_PRACTIONER_ORDER_KITS"
HEALTH_INFORMATION_QUEUE = "HEALTH_INFORMATION_DISPATCH"
NO_RECIPIENT = "NO_RECIPIENT"
INVALID_KIT_ID = "INVALID_KIT_ID"


def kit_registration_lane() -> Lane:
    """Lane `kit_registration`: an IDEMPOTENT call to the kit registry per kit."""
    return Lane(
        name="kit_registration",
        title="Kit registrations",
        model=KitRegistration,
        seal=PAYLOADS,
        build_gateway=_build_registry,
        compose=_compose_registration,
        retry=RetryPolicy(max_attempts=8, first_delay_seconds=5, longest_delay_seconds=900),
        batch=50,
        slots=3,
        inlets=(REGISTER_QUEUE,),
        after_sent=_after_registered,
        caution=_caution,
    )


def health_information_lane() -> Lane:
    """Lane `health_information`: a BLIND e-mail per kit, first tried by the sweep after its day."""
    settings = get_settings()
    return Lane(
        name="health_information",
        title="Health-information forms",
        model=HealthInformationDispatchLog,
        seal=PAYLOADS,
        build_gateway=_build_mail,
        compose=_compose_form,
        retry=RetryPolicy(
            max_attempts=settings.health_information_max_attempts, first_delay_seconds=30, longest_delay_seconds=3600
        ),
        batch=20,
        slots=3,
        waits_for_sweep=True,
        queue=HEALTH_INFORMATION_QUEUE,
        actor="health_information_dispatch",
        recipient_column="recipient_email",
        caution=_caution,
        persons=_practitioner_names,
    )


def _caution(row: Row) -> str:
    with connected():
        found = fetch_all(f"SELECT status FROM {get_settings().orders_table} WHERE id = %s", (row["order_id"],))
    if not found:
        return "Its order is no longer stored."
    return "Its order was cancelled." if found[0][0] == "cancelled" else ""


def _practitioner_names(row: Row, _: bytes) -> list[str]:
    """The form names whoever ordered it."""
    with connected():
        found = fetch_all(
            f"SELECT name FROM {get_settings().practitioners_table} WHERE id = %s", (row["practitioner_id"],)
        )
    return [name for (name,) in found if name]


def _build_registry() -> Gateway:
    settings = get_settings()
    if not settings.kit_registry_url:
        return LocalKitRegistry()
    return HttpKitRegistry(
        settings.kit_registry_url,
        settings.kit_registry_token.get_secret_value(),
        key_retention_seconds=settings.kit_registry_key_retention_seconds,
    )


def _build_mail() -> Gateway:
    settings = get_settings()
    return SmtpGateway(settings.smtp_url, deadline_seconds=settings.mail_deadline_seconds)


def _compose_registration(row: Row) -> Letter:
    if not row["kit_id"].isascii():
        message = "the kit id has characters outside ASCII; give the kit another id upstream, then cancel this one"
        raise CannotCompose(message, code="KIT_ID_INVALID")
    document = {
        "kitId": row["kit_id"],
        "orderId": str(row["order_id"]),
        "orderNumber": row["order_number"],
        "practitionerId": str(row["practitioner_id"]),
        "step": 1,
    }
    return Letter("kit-registry", json.dumps(document, sort_keys=True).encode())


def _after_registered(rows: Sequence[Row]) -> None:
    """In the transaction that records the registration: the form's PENDING row, and the registration fields."""
    settings = get_settings()
    lane = health_information_lane()
    for order_id in sorted({row["order_id"] for row in rows}):
        lock_order(order_id)
    registered_at = fetch_one("SELECT now()")[0]
    recipients = _recipients(rows)
    forms = [_form_row(row, recipients.get(row["id"]), registered_at) for row in rows]
    delay = timedelta(seconds=settings.health_information_delay_seconds)
    inserted = ledger.enqueue(lane, [{**form, "due_at": registered_at + delay} for form in forms])
    if inserted:
        _hold_without_recipient(lane, inserted)
    _write_registration_fields(rows)


def _form_row(row: Row, recipient: str | None, registered_at: Any) -> dict[str, Any]:
    keys = [row["order_number"], row["kit_id"], str(row["order_id"]), *([recipient] if recipient else [])]
    return {
        "order_id": row["order_id"],
        "kit_id": row["kit_id"],
        "order_number": row["order_number"],
        "practitioner_id": row["practitioner_id"],
        "recipient_email": recipient,
        "registered_at": registered_at,
        "subject_id": f"order:{row['order_id']}",
        "search_keys": keys,
        "trace_id": row["trace_id"],
    }


def _recipients(registrations: Sequence[Row]) -> dict[UUID, str | None]:
    """Who gets the form of each registration's kit: the kit's own recipient, else the practitioner."""
    settings = get_settings()
    rows = fetch_all(
        f"SELECT r.id, coalesce(k.recipient_email, nullif(trim(p.email), '')) FROM kit_registrations r"
        f" JOIN {kits_of_orders()} k ON k.order_id = r.order_id AND k.name = {name_of('r.kit_id')}"
        f" JOIN {settings.orders_table} o ON o.id = r.order_id"
        f" LEFT JOIN {settings.practitioners_table} p ON p.id = o.practitioner_id WHERE r.id = ANY (%(ids)s::uuid[])",
        {"ids": [row["id"] for row in registrations], "orders": sorted({row["order_id"] for row in registrations})},
    )
    return dict(rows)


def _hold_without_recipient(lane: Lane, ids: Sequence[UUID]) -> None:
    nobody = fetch_all(f"SELECT id FROM {lane.table} WHERE id = ANY (%s::uuid[]) AND recipient_email IS NULL", (ids,))
    if nobody:
        reason = "neither the kit nor the practitioner has an e-mail address"
        ledger.hold(lane, [row[0] for row in nobody], code=NO_RECIPIENT, reason=reason)


def _write_registration_fields(rows: Sequence[Row]) -> None:
    settings = get_settings()
    execute(
        f"UPDATE {settings.order_kits_table} k SET registered_at = now(), updated_at = now(), registration_id ="
        f" r.provider_message_id FROM kit_registrations r WHERE k.order_id = r.order_id"
        f" AND {name_of('k.kit_id')} = {name_of('r.kit_id')} AND r.id = ANY (%s::uuid[])",
        ([row["id"] for row in rows],),
    )
    refresh_orders(sorted({row["order_id"] for row in rows}))


def lock_order(order_id: UUID) -> None:
    """Everything that changes an order takes turns by this lock, taken before any row of it, whoever owns its tables.

    Without it a report (order, then registration) and a recorded registration (the other way round) deadlock.
    """
    execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240119))", (str(order_id),))


def refresh_orders(order_ids: Sequence[UUID]) -> None:
    """Bring the orders' registration fields up to date: REGISTERED once every kit's registration was sent.

    An order with a kit that cannot be registered stays REGISTERING and keeps saying why.
    """
    settings = get_settings()
    usable = f"g.code IS DISTINCT FROM '{INVALID_KIT_ID}'"
    execute(
        f"UPDATE order_registrations g SET state = CASE WHEN s.open = 0 AND {usable} THEN 'REGISTERED'"
        f" ELSE 'REGISTERING' END, code = CASE WHEN NOT ({usable}) THEN g.code END,"
        f" detail = CASE WHEN NOT ({usable}) THEN g.detail END,"
        f" kits = CASE WHEN {usable} THEN s.kits ELSE g.kits END, updated_at = now() FROM"
        f" (SELECT r.order_id, count(DISTINCT {name_of('r.kit_id')}) AS kits,"
        " count(*) FILTER (WHERE r.status <> 'SENT') AS open FROM kit_registrations r"
        " WHERE r.order_id = ANY (%s::uuid[]) AND r.status <> 'CANCELLED' GROUP BY r.order_id) s"
        " WHERE g.order_id = s.order_id",
        (order_ids,),
    )
    execute(
        f"UPDATE {settings.orders_table} o SET registration_status = lower(g.state), updated_at = now(), registered_at ="
        " CASE WHEN g.state = 'REGISTERED' THEN coalesce(o.registered_at, now()) END FROM order_registrations g"
        " WHERE g.order_id = o.id AND o.id = ANY (%s::uuid[])"
        " AND o.registration_status IS DISTINCT FROM lower(g.state)",
        (order_ids,),
    )


def _compose_form(row: Row) -> Letter:
    settings = get_settings()
    if not row["recipient_email"]:
        raise CannotCompose("the form has no recipient", code=NO_RECIPIENT)
    with connected():
        orders = fetch_dicts(
            f"SELECT o.status, p.name FROM {settings.orders_table} o"
            f" LEFT JOIN {settings.practitioners_table} p ON p.id = o.practitioner_id WHERE o.id = %s",
            (row["order_id"],),
        )
    if not orders:
        raise CannotCompose("the order is no longer there", code="ORDER_NOT_FOUND")
    if orders[0]["status"] == "cancelled":
        raise CannotCompose("the order was cancelled", code="ORDER_CANCELLED")
    date = row["claimed_at"]
    expires_at = date + timedelta(days=settings.form_link_days)
    token = sign_form_token(settings.secret_keys, dispatch_id=row["id"], expires_at=expires_at)
    base = (settings.form_url or f"{settings.effective_public_url}/form").rstrip("/")
    sender = settings.mail_from
    recipient = recipient_address(row["recipient_email"])
    body = compose_health_information(
        recipient=recipient,
        sender=sender,
        reply_to=settings.mail_reply_to,
        message_id=f"{row['idempotency_key']}@{envelope_address(sender).rpartition('@')[2]}",
        date=date,
        practitioner_name=orders[0]["name"] or "your practitioner",
        order_number=row["order_number"],
        kit_id_masked=mask_kit_id(row["kit_id"]),
        form_link=f"{base}/{token}",
        expires_at=expires_at,
        template_dir=settings.template_dir,
        trace_id=row["trace_id"],
    )
    return Letter(recipient, body, "message/rfc822", {"envelope_from": envelope_address(sender)})
