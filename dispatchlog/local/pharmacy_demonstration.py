"""The pharmacy orders that `dispatchlog up` brings along, and its sandbox courier that brings them.

Talks to the product as a chat and a pharmacist do; writes no table itself.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dispatchlog.local.directory import choose_port, remember_secret
from dispatchlog.local.loading import load_sample
from dispatchlog.local.pharmacy_sample import ORDERS, PHARMACIES, SampleOrder, order_input, sandbox_script
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import cancelling, orders, pharmacies
from dispatchlog.systems.courier.inputs import CourierError, PaymentInput
from dispatchlog.tracing import new_trace_id

AT_ONCE = 8
SECONDS_BETWEEN = 5.0
# A quarter of an hour's ride in a minute.
SPEED = 15.0
SOURCE = "sample-chat"
PHARMACIST = "sample-pharmacist@dispatchlog.localhost"


@dataclass(frozen=True, slots=True)
class SandboxAt:
    """Where the sandbox courier of this folder listens, what it goes by, and what it remembers."""

    port: int
    script: Path
    journal: Path
    token: str
    webhook_secret: str

    @classmethod
    def of(cls, var: Path) -> SandboxAt:
        """The same port as the last time if it is free; a script that somebody changed stays as it is."""
        script = var / "courier.json"
        if not script.exists():
            script.write_text(json.dumps(sandbox_script(), indent=2) + "\n")
        secrets = (remember_secret(var / name) for name in ("courier_token", "courier_webhook_secret"))
        return cls(choose_port(var / "courier.port"), script, var / "courier.jsonl", *secrets)

    def settings(self) -> dict[str, str]:
        """What makes it the courier of every process here; its own secrets reach it in the same way."""
        return {
            "DISPATCHLOG_COURIER": "generic",
            "DISPATCHLOG_COURIER_URL": f"http://127.0.0.1:{self.port}/courier",
            "DISPATCHLOG_COURIER_TOKEN": self.token,
            "DISPATCHLOG_COURIER_WEBHOOK_SECRET": self.webhook_secret,
        }

    def command(self, settings: Settings) -> list[str]:
        """The sandbox's process; it tells the dashboard."""
        host = "127.0.0.1" if settings.bind_host in ("0.0.0.0", "::") else settings.bind_host  # noqa: S104  (compared)  # nosec B104
        told = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/webhooks/courier/generic"
        module = [sys.executable, "-m", "dispatchlog.cli", "courier", "sandbox"]
        files = ["--script", str(self.script), "--journal", str(self.journal)]
        return [*module, "--port", str(self.port), "--speed", str(SPEED), "--webhook-url", told, *files]


def main() -> int:
    """Report what is missing; the exit code comes back. Begun anew after a failure it repeats nothing."""
    return load_sample(_load, what="the pharmacies")


def _load(_: Settings) -> None:
    for pharmacy in PHARMACIES:
        pharmacies.put_pharmacy(pharmacy, source=SOURCE)
    print(f"{len(PHARMACIES)} sample pharmacies get {len(ORDERS)} orders in the next minute", flush=True)
    for position, order in enumerate(ORDERS):
        if _report(order) and position >= AT_ONCE:
            time.sleep(SECONDS_BETWEEN)
    print("the pharmacies' orders are complete", flush=True)


def _report(order: SampleOrder) -> bool:
    """Report the order, and let happen to it what happens; whether it was new, for otherwise all that has happened."""
    reported = order_input(order, now=datetime.now(UTC))
    try:
        _, new = orders.put_order(reported, source=SOURCE, trace_id=new_trace_id())
    except CourierError as error:
        if error.code not in ("ORDER_ALREADY_DISPATCHED", "ORDER_NUMBER_TAKEN"):
            raise
        return False
    if not new:
        return False
    if order.paid:
        payment = PaymentInput("Paid", reference=f"pay-{order.number}")
        orders.capture_payment(reported.order_id, payment, source=SOURCE)
    if order.ready:
        orders.mark_ready(reported.order_id, actor=PHARMACIST)
    if order.cancelled:
        cancelling.cancel_dispatch(reported.order_id, actor=PHARMACIST, reason="ordered twice")
    return True


if __name__ == "__main__":
    sys.exit(main())
