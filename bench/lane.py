"""Owns the throw-away lane that is measured: its table, its rows, its gateways. Measures nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.tables import Dispatch
from dispatchlog.gateways.fake import NullGateway
from dispatchlog.gateways.kit_registry import HttpKitRegistry
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.row_content import PAYLOADS

NAME = TABLE = "bench_dispatches"

CREATE = (
    f"CREATE TABLE {TABLE} (LIKE dispatch_template INCLUDING ALL)",
    f"SELECT dispatchlog_install_lane('{TABLE}', '{NAME}')",
)

# Due one after the other, all of them already; ids begin with the time, as those of the product do.
FILL = (
    f"INSERT INTO {TABLE} (id, due_at) SELECT uuidv7(), now() - ({{rows}} - n) * interval '1 ms'"
    " FROM generate_series(1, {rows}) n"
)

_LETTER = Letter("nobody", b"{}")
_SENDER = "desk@example.org"


class BenchDispatch(Dispatch):
    """The lane's table; its columns are those that every lane has."""

    class Meta:
        table_name = TABLE


@dataclass(frozen=True, slots=True)
class Setup:
    """How worker processes of the product work on the lane.

    Attributes:
        batch: rows per claim at the most.
        slots: drains at once in one process; each sends one row at a time.
        threads: the Dramatiq threads of each process.
        gateway: "null" accepts at once and composes nothing; "http" and "smtp" store what they compose and send it.
        url: where "http" or "smtp" sends to.
    """

    batch: int
    slots: int
    threads: int
    gateway: str = "null"
    url: str = ""

    def env(self) -> dict[str, str]:
        """The environment from which a worker process reads it again."""
        return {"BENCH_SETUP": json.dumps(asdict(self)), "dramatiq_queue_prefetch": str(self.threads)}

    @classmethod
    def from_env(cls) -> Setup:
        return cls(**json.loads(os.environ["BENCH_SETUP"]))


def bench_lane(setup: Setup, *, waits_for_sweep: bool = False) -> Lane:
    """The lane with the gateway that the setup names."""
    compose, build_gateway = _gateways(setup.url)[setup.gateway]
    return Lane(
        name=NAME,
        title="Benchmark",
        model=BenchDispatch,
        build_gateway=build_gateway,
        compose=compose,
        batch=setup.batch,
        slots=setup.slots,
        body_on_row=setup.gateway == "null",
        seal=PAYLOADS,
        waits_for_sweep=waits_for_sweep,
    )


def _gateways(url: str) -> dict[str, tuple[Callable[[Row], Letter], Callable[[], Gateway]]]:
    return {
        "null": (lambda _row: _LETTER, NullGateway),
        "http": (_compose_document, partial(HttpKitRegistry, url, "", key_retention_seconds=86_400)),
        "smtp": (_compose_mail, partial(SmtpGateway, url)),
    }


def _compose_document(row: Row) -> Letter:
    document = {"kitId": f"KIT-{row['seq']}", "orderId": str(row["id"]), "orderNumber": f"N-{row['seq']}", "step": 1}
    return Letter("provider", json.dumps(document, sort_keys=True).encode())


def _compose_mail(row: Row) -> Letter:
    lines = (
        f"From: {_SENDER}",
        "To: somebody@example.org",
        f"Message-ID: <{row['idempotency_key']}@example.org>",
        "Subject: Your form",
        "",
        *["A line of a letter that says what a letter of care says, and where to find the form."] * 20,
        "",
    )
    return Letter("somebody@example.org", "\r\n".join(lines).encode(), "message/rfc822", {"envelope_from": _SENDER})
