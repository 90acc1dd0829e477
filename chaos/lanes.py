"""Owns the five throw-away lanes of a run: tables, composing, gateways and their share of the traffic. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from peewee import TextField

from chaos.gateways import DEADLINE_SECONDS, LedgerFileGateway, MessageGateway
from chaos.places import HOST
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Letter, Route, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import Dispatch, RoutedDispatch
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_mllp import MllpGateway
from dispatchlog.gateways.kit_registry import HttpKitRegistry
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.reach import Reach
from dispatchlog.row_content import PAYLOADS
from dispatchlog.systems.hl7.endpoints import AnyEndpoint

RETRY = RetryPolicy(max_attempts=4, first_delay_seconds=0.2, longest_delay_seconds=1.0)


@dataclass(frozen=True, slots=True)
class Kind:
    """One lane as the run and its judge see it.

    Attributes:
        channel: its name in the provider's ledger; "" for the one whose ledger is a file per worker.
        share: rows of every thousand.
        slots: drains at once in one process.
        most_open: no more is enqueued while so many rows wait.
    """

    name: str
    kind: GatewayKind
    channel: str
    share: int
    slots: int
    most_open: int

    @property
    def table(self) -> str:
        return self.name


BULK = Kind("chaos_bulk", GatewayKind.IDEMPOTENT, "", share=850, slots=2, most_open=10_000)
REGISTRATION = Kind("chaos_registration", GatewayKind.IDEMPOTENT, "registrations", share=30, slots=3, most_open=1_500)
MESSAGE = Kind("chaos_message", GatewayKind.LOOKUP, "messages", share=80, slots=6, most_open=4_000)
MAIL = Kind("chaos_mail", GatewayKind.BLIND, "smtp", share=20, slots=3, most_open=1_000)
# Divided among endpoints of one exchange; the messages of a patient leave in order.
HL7 = Kind("chaos_hl7", GatewayKind.IDEMPOTENT, "hl7", share=20, slots=3, most_open=1_000)
KINDS = (BULK, REGISTRATION, MESSAGE, MAIL, HL7)
ENDPOINTS = ("north", "south")


# The first attempts of this one wait for the scheduler's sweep, as the forms of the kits do.
WAITS_FOR_SWEEP = REGISTRATION
SWEEP_SECONDS = 1
WAKE_SECONDS = 5

COLUMNS = "recipient text NOT NULL, note text NOT NULL"
OF_ROUTES = "route varchar(64) NOT NULL, stale_at timestamptz, "


@dataclass(frozen=True, slots=True)
class Outside:
    """Where a process of the run sends to, and the seed of its own faults."""

    http_url: str
    smtp_url: str
    directory: str
    seed: int
    mllp_host: str = HOST
    mllp_port: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def healed(self) -> Path:
        """Exists once the faults are over."""
        return Path(self.directory) / "healed"

    @property
    def bulk_ledgers(self) -> Path:
        """One file of acceptances per worker process."""
        return Path(self.directory) / "bulk"


def create_statements() -> list[str]:
    """What makes the lanes; what is to be sent may not change afterwards."""
    return [
        statement
        for kind in KINDS
        for statement in (
            f"CREATE TABLE {kind.table} (LIKE dispatch_template INCLUDING ALL, {OF_ROUTES * (kind is HL7)}{COLUMNS})",
            *([f"SELECT dispatchlog_divide_lane('{kind.table}')"] if kind is HL7 else []),
            f"SELECT dispatchlog_install_lane('{kind.table}', '{kind.name}', fixed => '{{recipient,note}}')",
        )
    ]


def _model(kind: Kind) -> type[Dispatch]:
    meta = type("Meta", (), {"table_name": kind.table})
    columns: dict[str, Any] = {"recipient": TextField(), "note": TextField(), "Meta": meta, "__module__": __name__}
    base = RoutedDispatch if kind is HL7 else Dispatch
    return type(kind.name.title().replace("_", ""), (base,), columns)


MODELS = {kind.name: _model(kind) for kind in KINDS}


def chaos_lanes(outside: Outside) -> dict[str, Lane]:
    """All lanes by name; a gateway connects when first used."""
    gateways: dict[str, Callable[[], Any]] = {
        BULK.name: partial(_ledger_file, outside),
        REGISTRATION.name: partial(
            HttpKitRegistry, outside.http_url, "", key_retention_seconds=10 * 86_400, deadline_seconds=DEADLINE_SECONDS
        ),
        MESSAGE.name: partial(MessageGateway, outside.http_url),
        MAIL.name: partial(SmtpGateway, outside.smtp_url, deadline_seconds=DEADLINE_SECONDS),
        HL7.name: partial(AnyEndpoint, HL7.name),
    }
    composers = {
        BULK.name: _compose_bulk,
        REGISTRATION.name: _compose_registration,
        MESSAGE.name: _compose_message,
        MAIL.name: _compose_mail,
        HL7.name: _compose_hl7,
    }
    routes = cache(partial(_routes, outside))
    return {
        kind.name: Lane(
            name=kind.name,
            title=kind.name,
            model=MODELS[kind.name],
            build_gateway=gateways[kind.name],
            compose=composers[kind.name],
            retry=RETRY,
            batch=200 if kind is BULK else 20,
            slots=kind.slots,
            body_on_row=kind in (BULK, HL7),
            seal=PAYLOADS,
            failed_blocks=kind is HL7,
            routes=routes if kind is HL7 else None,
            queue="chaos",
            actor="chaos_drain",
            waits_for_sweep=kind is WAITS_FOR_SWEEP,
        )
        for kind in KINDS
    }


def _ledger_file(outside: Outside) -> LedgerFileGateway:
    path = outside.bulk_ledgers / f"{outside.seed}.ledger"
    return LedgerFileGateway(path, healed=outside.healed, seed=outside.seed)


def _routes(outside: Outside) -> Mapping[str, Route]:
    return {name: Route(name, MllpGateway(_endpoint(name, outside)), retry=RETRY, batch=20) for name in ENDPOINTS}


def _endpoint(name: str, outside: Outside) -> Hl7Endpoint:
    return Hl7Endpoint(
        name=f"{HL7.name}:{name}",
        transport=Transport.MLLP,
        host=outside.mllp_host,
        port=outside.mllp_port,
        deadline_seconds=DEADLINE_SECONDS,
        connect_seconds=1.0,
        reach=Reach((ip_network(outside.mllp_host),)),
    )


def hl7_message(control_id: str, patient: str, note: str) -> str:
    """An assessment as the exchange takes it; MSH-10 names the dispatch."""
    return "\r".join(
        (
            f"MSH|^~\\&|CHAOS|CHAOS|||20261121120000||ORU^R01^ORU_R01|{control_id}|T|2.5.1",
            f"PID|1||{patient}^^^CHAOS^MR",
            f"NTE|1||{note}",
            "",
        )
    )


def _compose_hl7(row: Row) -> Letter:
    # As in the lane of HL7 messages, one control id for ever.
    return Letter(row["route"], row["note"].encode(), "application/hl7-v2", {"control_id": f"{row['id']}-1"})


def _compose_bulk(row: Row) -> Letter:
    return Letter(row["recipient"], row["note"].encode())


# The others say when they were composed: composed a second time they would differ from what was stored.
def _now() -> str:
    return datetime.now(UTC).isoformat()


def _compose_registration(row: Row) -> Letter:
    body = {"kitId": row["recipient"], "note": row["note"], "composed": _now()}
    return Letter(row["recipient"], json.dumps(body).encode())


def _compose_message(row: Row) -> Letter:
    body = {"to": row["recipient"], "clientRef": row["idempotency_key"], "note": row["note"], "composed": _now()}
    return Letter(row["recipient"], json.dumps(body).encode())


def _compose_mail(row: Row) -> Letter:
    lines = (
        "From: desk@example.org",
        f"To: {row['recipient']}",
        f"Message-ID: <{row['idempotency_key']}@example.org>",
        "Subject: chaos",
        "",
        ".begins with a dot",
        row["note"],
        _now(),
        "",
    )
    return Letter(
        row["recipient"], "\r\n".join(lines).encode(), "message/rfc822", {"envelope_from": "desk@example.org"}
    )
