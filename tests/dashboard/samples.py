"""Owns dispatches as tests need them, made by the product's own functions. No real persons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine import claims, ledger, outcome
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Receipt
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result
from dispatchlog.engine.payloads import prepare
from dispatchlog.systems import registry
from dispatchlog.systems.kit_orders import KitInput, OrderInput, PractitionerInput, put_order

Judge = Callable[[Row], Receipt | DispatchlogError | None]


def place_order(
    number: str = "VO-20418",
    *,
    kits: Sequence[str] = ("KIT-7Q2M-01",),
    email: str | None = "ada@example.org",
    **more: Any,
) -> UUID:
    """A practitioner's order, shipped unless `more` says otherwise; its id."""
    order_id = uuid4()
    clinic, domain = more.pop("clinic", ("Northgate Functional Medicine", "northgate.example.org"))
    practitioner = PractitionerInput(uuid4(), clinic, more.pop("practitioner_email", f"desk@{domain}"))
    put_order(
        OrderInput(
            order_id=order_id,
            order_number=number,
            practitioner=more.pop("practitioner", practitioner),
            status=more.pop("status", "shipped"),
            kits=tuple(KitInput(kit, email) for kit in kits),
            **more,
        ),
        source="vitract-orders",
    )
    return order_id


def send_due(lane_name: str, judge: Judge | None = None, *, worker_id: int = 1, limit: int = 100) -> list[Row]:
    """Claim and settle what is due as a worker would: `judge` gives each row's receipt or error, None leaves it claimed."""
    lane = registry.lane(lane_name)
    token = uuid4()
    with connected():
        with transaction(f"worker:{worker_id}"):
            rows = claims.claim_due(lane, token=token, worker_id=worker_id, limit=limit)
        prepare(lane, rows)
        results = []
        for row in rows:
            answer = (judge or _accept)(row)
            if answer is not None:
                results.append(Result(row, _verdict(lane, row, answer), 7.5))
        if results:
            with transaction(f"worker:{worker_id}"):
                ledger.record(lane, token, results, worker_id=worker_id)
    return rows


def _accept(row: Row) -> Receipt:
    return Receipt(f"{row['idempotency_key']}@mail.example.org", {"reply": "250 2.0.0 OK queued as 4bT9zk2"})


def _verdict(lane: Lane, row: Row, answer: Receipt | DispatchlogError) -> outcome.Verdict:
    if isinstance(answer, Receipt):
        return outcome.accepted(answer)
    return outcome.judge(answer, row, kind=lane.gateway.kind, retry=lane.retry)


def refuse(row: Row) -> DispatchlogError:
    """The mail server refuses the recipient for good."""
    return Permanent(
        f"550 5.1.1 <{row['recipient_email']}>: Recipient address rejected: User unknown",
        code="SMTP_550",
        evidence={"stage": "RCPT TO", "reply": {"code": 550, "text": f"5.1.1 <{row['recipient_email']}> User unknown"}},
    )


def lose_answer(row: Row) -> DispatchlogError:
    """The connection breaks after the message was handed over: nobody knows whether it was accepted."""
    return OutcomeUnknown(
        "the connection broke after the message was handed over, before the server answered",
        code="SMTP_NO_REPLY",
        evidence={"stage": "after DATA", "bytes_sent": 8412, "last_reply": "354 End data with <CR><LF>.<CR><LF>"},
    )


def fail_for_now(row: Row) -> DispatchlogError:
    """The provider is busy."""
    return Transient("503 Service Unavailable", code="HTTP_503", evidence={"status": 503, "retry_after": None})


def make_due(lane_name: str, *, where: str = "true", params: Mapping[str, Any] | None = None) -> None:
    """Let waiting dispatches be due, and their lane's sweep have come."""
    lane = registry.lane(lane_name)
    with transaction("scheduler:sample"):
        execute(
            f"UPDATE {lane.table} SET due_at = now() - interval '1 minute' WHERE status = 'PENDING' AND {where}",
            dict(params or {}) or (),
        )
        execute(
            "INSERT INTO schedule_occurrences (job, occurs_at, started_by) VALUES (%s, clock_timestamp(), 'scheduler:1')"
            " ON CONFLICT DO NOTHING",
            (lane.sweep_job,),
        )


def the_row(lane_name: str) -> Row:
    """The lane's newest dispatch."""
    lane = registry.lane(lane_name)
    with connected():
        rows: list[Row] = [*fetch_dicts(f"SELECT * FROM {lane.table} ORDER BY seq DESC LIMIT 1")]
    return rows[0]


def form_in(state: str, *, number: str = "VO-20418", email: str = "ada@example.org") -> Row:
    """A health-information form in one state: PENDING, QUEUED, FAILED, IN_DOUBT, SENT or CANCELLED."""
    place_order(number, kits=(f"KIT-{number}",), email=email)
    send_due("kit_registration", lambda row: Receipt(f"reg-{row['kit_id']}"))
    judges: dict[str, Judge] = {
        "QUEUED": lambda _: None,
        "FAILED": refuse,
        "IN_DOUBT": lose_answer,
        "SENT": _accept,
    }
    if state in judges:
        make_due("health_information")
        send_due("health_information", judges[state])
    row = the_row("health_information")
    if state == "CANCELLED":
        from dispatchlog.engine.operator import cancel

        cancel(registry.lane("health_information"), [row["id"]], actor="ada@example.org", reason="sample")
    return the_row("health_information")


def worker_alive(
    worker_id: int = 1, host: str = "worker-a", kind: str = "worker", *, lanes: list[str] | None = None
) -> None:
    """A process that was just heard from, a worker unless `kind` says otherwise; of every lane unless `lanes` does."""
    with transaction("sample"):
        execute(
            "INSERT INTO dispatch_workers (id, host, pid, boot_id, process_started, kind, lanes)"
            " VALUES (%s, %s, %s, '', '', %s, %s) ON CONFLICT (id) DO UPDATE SET last_seen_at = now()",
            (worker_id, host, 4000 + worker_id, kind, lanes),
        )


def scheduler_alive() -> None:
    """A scheduler that was just heard from."""
    worker_alive(9, "clock-a", "scheduler")


def form_without_recipient() -> Row:
    """A health-information form that failed because neither the kit nor the practitioner has an address."""
    place_order(email=None, practitioner_email=None)
    send_due("kit_registration", lambda row: Receipt(f"reg-{row['kit_id']}"))
    return the_row("health_information")


def registration_in_doubt() -> Row:
    """A kit registration whose tries are spent, the last of them without an answer."""
    place_order()
    lane = registry.lane("kit_registration")
    with transaction("sample"):
        execute(f"UPDATE {lane.table} SET attempts = %s WHERE status = 'PENDING'", (lane.retry.max_attempts - 1,))
    send_due("kit_registration", lambda _: OutcomeUnknown("no answer in time", code="HTTP_TIMEOUT"))
    return the_row("kit_registration")
