"""Owns the four throw-away lanes of a run: tables, composing, gateways and their share of the traffic. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from peewee import TextField

from chaos.gateways import DEADLINE_SECONDS, LedgerFileGateway, MessageGateway
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import Dispatch
from dispatchlog.gateways.kit_registry import HttpKitRegistry
from dispatchlog.gateways.smtp import SmtpGateway

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


BULK = Kind("chaos_bulk", GatewayKind.IDEMPOTENT, "", share=870, slots=2, most_open=10_000)
REGISTRATION = Kind("chaos_registration", GatewayKind.IDEMPOTENT, "registrations", share=30, slots=3, most_open=1_500)
MESSAGE = Kind("chaos_message", GatewayKind.LOOKUP, "messages", share=80, slots=6, most_open=4_000)
MAIL = Kind("chaos_mail", GatewayKind.BLIND, "smtp", share=20, slots=3, most_open=1_000)
KINDS = (BULK, REGISTRATION, MESSAGE, MAIL)


# The first attempts of this one wait for the scheduler's sweep, as the forms of the kits do.
WAITS_FOR_SWEEP = REGISTRATION
SWEEP_SECONDS = 1
WAKE_SECONDS = 5

COLUMNS = "recipient text NOT NULL, note text NOT NULL"


@dataclass(frozen=True, slots=True)
class Outside:
    """Where a process of the run sends to, and the seed of its own faults."""

    http_url: str
    smtp_url: str
    directory: str
    seed: int

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
            f"CREATE TABLE {kind.table} (LIKE dispatch_template INCLUDING ALL, {COLUMNS})",
            f"SELECT dispatchlog_install_lane('{kind.table}', '{kind.name}', fixed => '{{recipient,note}}')",
        )
    ]


def _model(kind: Kind) -> type[Dispatch]:
    meta = type("Meta", (), {"table_name": kind.table})
    columns: dict[str, Any] = {"recipient": TextField(), "note": TextField(), "Meta": meta, "__module__": __name__}
    return type(kind.name.title().replace("_", ""), (Dispatch,), columns)


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
    }
    composers = {
        BULK.name: _compose_bulk,
        REGISTRATION.name: _compose_registration,
        MESSAGE.name: _compose_message,
        MAIL.name: _compose_mail,
    }
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
            body_on_row=kind is BULK,
            queue="chaos",
            actor="chaos_drain",
            waits_for_sweep=kind is WAITS_FOR_SWEEP,
        )
        for kind in KINDS
    }


def _ledger_file(outside: Outside) -> LedgerFileGateway:
    path = outside.bulk_ledgers / f"{outside.seed}.ledger"
    return LedgerFileGateway(path, healed=outside.healed, seed=outside.seed)


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
