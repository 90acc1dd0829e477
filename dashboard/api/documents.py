"""What the JSON API answers. Each class lists what may leave; a column that is not listed here never does."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dashboard.masking import mask, mask_text
from dashboard.naming import readable
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.row_content import HASHED
from dispatchlog.systems.kit_orders import OrderState
from dispatchlog.tracing import current_trace_id


class Part(BaseModel):
    """A part of an answer; what else a row holds is left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Answer(Part):
    """A whole answer; it says under which trace id it was made."""

    trace_id: str = Field(default_factory=current_trace_id)


class FaultPart(Part):
    """One thing wrong with a body."""

    code: str
    message: str
    field: str | None


class ErrorDetail(Part):
    """What is wrong, and where; `faults` is everything found wrong with a body, empty where the body is not to blame."""

    code: str
    message: str
    field: str | None
    faults: list[FaultPart]
    trace_id: str


class ErrorAnswer(Part):
    """The answer to every request that was refused or failed; `present` is the state that it met, where that says more."""

    error: ErrorDetail
    trace_id: str
    present: dict[str, Any] | None


class PractitionerPart(Part):
    """Who ordered; the address is masked."""

    id: UUID
    name: str
    email: str | None


class RegistrationPart(Part):
    """What became of the order and why: WAITING, NOT_APPLICABLE, CANCELLED, REGISTERING or REGISTERED."""

    state: str
    code: str | None
    detail: str | None
    sources: list[str]
    reports: int
    kits: int
    first_reported_at: datetime
    last_reported_at: datetime


class KitPart(Part):
    """A kit, its registration (step 1) and its form; the address is masked."""

    kit_id: str
    recipient_email: str | None
    registered_at: datetime | None
    registration_id: str | None
    registration_dispatch_id: UUID | None
    registration_status: str | None
    registration_error_code: str | None
    form_dispatch_id: UUID | None
    form_status: str | None
    form_in_doubt: bool | None
    form_due_at: datetime | None
    form_sent_at: datetime | None
    form_error_code: str | None


class OrderAnswer(Answer):
    """An order with its kits and what became of each.

    `registration` is null until the order is shipped, cancelled or taken up. `sameNumberOrderIds` are up to 20 other orders
    with its number.
    """

    order_id: UUID
    order_number: str
    status: str
    practitioner: PractitionerPart | None
    shipping_date: datetime | None
    tracking_number: str | None
    tracking_url: str | None
    registration_status: str | None
    registered_at: datetime | None
    created_at: datetime
    updated_at: datetime
    kits: list[KitPart]
    registration: RegistrationPart | None
    same_number_order_ids: list[UUID]

    @classmethod
    def of(cls, state: OrderState) -> OrderAnswer:
        who = state.practitioner
        return cls(
            **state.order,
            practitioner=PractitionerPart(**{**who, "email": mask(who["email"]) or None}) if who else None,
            kits=[KitPart(**{**kit, "recipient_email": mask(kit["recipient_email"]) or None}) for kit in state.kits],
            registration=RegistrationPart(**state.registration) if state.registration else None,
            same_number_order_ids=list(state.same_number),
        )


class RegistrationAnswer(Answer):
    """What became of an order that was taken up; `newKits` of its `kits` were not known before."""

    order_id: UUID
    state: str
    code: str | None
    detail: str | None
    kits: int
    new_kits: int


class EventPart(Part):
    """One entry of a dispatch's history; which fields are filled depends on `kind`."""

    at: datetime
    kind: Literal["move", "attempt", "action"]
    from_status: str | None = None
    to_status: str | None = None
    in_doubt: bool | None = None
    actor: str | None = None
    reason: str | None = None
    action: str | None = None
    number: int | None = None
    outcome: str | None = None
    code: str | None = None
    message: str | None = None
    latency_ms: float | None = None

    @classmethod
    def of(cls, at: datetime, kind: str, row: Row) -> EventPart:
        texts = {name: mask_text(row[name]) or None for name in ("reason", "message") if name in row}
        return cls(**{**row, **texts, "at": at, "kind": kind})


class DispatchPart(Part):
    """A dispatch as it stands; the recipient is masked, also inside what a provider said."""

    lane: str
    id: UUID
    status: str
    in_doubt: bool
    attempts: int
    recipient: str | None
    keys: list[str]
    subject_id: str | None
    due_at: datetime
    expires_at: datetime | None
    sent_at: datetime | None
    last_error_code: str | None
    last_error: str | None
    provider: str | None
    provider_message_id: str | None
    dispatch_trace_id: str
    created_at: datetime
    updated_at: datetime


class DispatchAnswer(DispatchPart, Answer):
    """A dispatch with its whole history, oldest entry first."""

    timeline: list[EventPart]


class DispatchListAnswer(Answer):
    """One page of dispatches. `nextCursor` is null on the last page."""

    dispatches: list[DispatchPart]
    next_cursor: str | None


def dispatch_fields(lane: Lane, row: Row) -> dict[str, Any]:
    """The row's values as a DispatchPart takes them."""
    return {
        **row,
        "lane": lane.name,
        "recipient": mask(readable(lane, row)[lane.recipient_column]) or None if lane.recipient_column else None,
        # Recipients are among the search keys, so that support can find them; here they are left out.
        "keys": [key for key in row["search_keys"] if "@" not in key and not key.startswith(("+", HASHED))],
        "last_error": mask_text(row["last_error"]) or None,
        "dispatch_trace_id": row["trace_id"],
        "trace_id": current_trace_id(),
    }
