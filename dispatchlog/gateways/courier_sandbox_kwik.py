"""Kwik's protocol as the sandbox courier speaks it: a login, statuses in the body, two legs. Owns what is answered.

What no public text says of Kwik is assumed here as in `kwik.py`: one row of the history for each leg, newest first, with
the instruction that the booking brought.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from dispatchlog.gateways.courier_sandbox_jobs import Booking, CancelRefusedError, Job, Place, Stage, World
from dispatchlog.gateways.courier_sandbox_script import Operation

if TYPE_CHECKING:
    from dispatchlog.gateways.courier_sandbox import Options

PROTOCOL = "kwik"
Answer = tuple[int, Any]
PARAMETER_MISSING, INVALID_KEY, ACTION_COMPLETE, ERROR_IN_EXECUTION = 100, 101, 200, 404
_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/vendor_login"): "login",
    ("POST", "/send_payment_for_task"): "quote",
    ("POST", "/get_bill_breakdown"): "bill",
    ("POST", "/v2/create_task_via_vendor"): "book",
    ("POST", "/cancel_vendor_task"): "cancel",
    ("GET", "/view_task_by_relationship_id"): "ask",
    ("GET", "/get_order_history_with_pagination"): "history",
}
# The job_status of the pickup and of the delivery.
LEGS: Mapping[Stage, tuple[int, int]] = {
    Stage.BOOKED: (6, 6),
    Stage.DECLINED: (8, 6),
    Stage.ASSIGNED: (7, 7),
    Stage.PICKED_UP: (2, 7),
    Stage.IN_TRANSIT: (2, 1),
    Stage.ARRIVED: (2, 4),
    Stage.DELIVERED: (2, 2),
    Stage.CANCELED: (9, 9),
}
_NEEDED: Mapping[str, Sequence[str]] = {
    "login": ("domain_name", "email", "password", "api_login"),
    "quote": ("access_token", "vendor_id", "pickups", "deliveries", "vehicle_id", "payment_method", "timezone"),
    "bill": ("access_token", "amount", "user_id", "form_id"),
    "book": ("access_token", "vendor_id", "domain_name", "pickups", "deliveries", "amount", "timezone"),
    "cancel": ("access_token", "vendor_id", "domain_name", "job_id", "job_status"),
    "ask": ("access_token", "unique_order_id"),
    "history": ("access_token", "limit", "skip"),
}


class KwikSide:
    """`names_reference`: whether the history tells the booking's instruction."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self.names_reference = True

    def operation(self, method: str, path: str) -> Operation | None:
        return _OPERATIONS.get((method, path))

    def forget_tokens(self) -> None:
        """No token is good any more, as when it has expired."""
        with self._lock:
            self._tokens.clear()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002  (a side's)
        """Do what is asked for; HTTP says 200, whatever the envelope says."""
        where = urlsplit(path)
        operation = self.operation(method, where.path)
        try:
            said = (
                json.loads(body)
                if method == "POST"
                else {name: each[0] for name, each in parse_qs(where.query).items()}
            )
        except ValueError:
            said = None
        if not isinstance(said, dict) or operation is None:
            return _envelope(PARAMETER_MISSING, "Parameter missing")
        missing = [name for name in _NEEDED[operation] if said.get(name) in (None, "")]
        if missing:
            return _envelope(PARAMETER_MISSING, "Insufficient information was supplied. Please check and try again.")
        if operation == "login":
            return self._login(said)
        with self._lock:
            if said["access_token"] not in self._tokens:
                return _envelope(INVALID_KEY, "Session expired. Please login again.")
        answers = {
            "quote": self._quote,
            "bill": self._bill,
            "book": self._book,
            "cancel": self._cancel,
            "ask": self._ask,
            "history": self._history,
        }
        return answers[operation](said)

    def _login(self, said: Mapping[str, Any]) -> Answer:
        known = (self._options.kwik_domain_name, self._options.kwik_email, self._options.kwik_password)
        given = (said["domain_name"], said["email"], said["password"])
        if not all(hmac.compare_digest(str(one).encode(), two.encode()) for one, two in zip(given, known, strict=True)):
            return _envelope(ERROR_IN_EXECUTION, "Incorrect email or password")
        token = secrets.token_hex(16)
        with self._lock:
            self._tokens.add(token)
        details = {"vendor_id": 71, "user_id": 3, "customer_id": 71, "card_id": "", "is_monthly_invoice": 1}
        return _envelope(ACTION_COMPLETE, "Login", {"access_token": token, "vendor_details": details})

    def _quote(self, said: Mapping[str, Any]) -> Answer:
        if _places(said) is None:
            return _envelope(PARAMETER_MISSING, "Insufficient information was supplied. Please check and try again.")
        data = {"per_task_cost": "1850.00", "currency": {"code": "NGN"}, "total_no_of_tasks": 1}
        return _envelope(ACTION_COMPLETE, "Successful", data | {"total_service_charge": 0, "insurance_amount": 0})

    def _bill(self, _: Mapping[str, Any]) -> Answer:
        data = {"SURGE_PRICING": 0, "SURGE_TYPE": 0, "VAT": 138.75, "NET_PAYABLE_AMOUNT": 1988.75}
        return _envelope(ACTION_COMPLETE, "Successful", data)

    def _book(self, said: Mapping[str, Any]) -> Answer:
        places = _places(said)
        if places is None:
            return _envelope(PARAMETER_MISSING, "Insufficient information was supplied. Please check and try again.")
        note = str(said.get("delivery_instruction", ""))
        sha256 = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        number = note.partition("Order ")[2].partition(". Ref ")[0]
        job, _ = self._world.book(Booking(PROTOCOL, "", sha256, number, *places, note=note))
        pickup, delivery = (
            [{"job_id": leg, "job_hash": secrets.token_hex(8), "job_token": secrets.token_hex(8), "status": True}]
            for leg in job.leg_ids
        )
        delivery[0]["result_tracking_link"] = f"https://tracking.dispatchlog.localhost/{job.job_id}"
        data: dict[str, Any] = {"unique_order_id": job.job_id, "pickups": pickup, "deliveries": delivery}
        if said.get("is_task_otp_required"):
            data["task_otp"] = [{"job_otp": f"{secrets.randbelow(10_000):04d}"}]
        return _envelope(ACTION_COMPLETE, "Order created successfully", data)

    def _ask(self, said: Mapping[str, Any]) -> Answer:
        job = self._mine(str(said["unique_order_id"]))
        if job is None:
            return _envelope(ERROR_IN_EXECUTION, "No order found")
        return _envelope(ACTION_COMPLETE, "Successful", {"total_amount": 1988.75, "orders": self._rows(job)})

    def _cancel(self, said: Mapping[str, Any]) -> Answer:
        legs = set(str(said["job_id"]).split(","))
        job = next((each for each in self._world.jobs(PROTOCOL) if legs & set(map(str, each.leg_ids))), None)
        if job is None or said["job_status"] != LEGS[Stage.CANCELED][0]:
            return _envelope(ERROR_IN_EXECUTION, "No task found")
        try:
            self._world.cancel(job.job_id)
        except CancelRefusedError:
            return _envelope(ERROR_IN_EXECUTION, "This task cannot be cancelled now")
        return _envelope(ACTION_COMPLETE, "Successful")

    def _history(self, said: Mapping[str, Any]) -> Answer:
        rows = [row for job in reversed(self._world.jobs(PROTOCOL)) for row in reversed(self._rows(job))]
        skip, limit = int(said["skip"]), min(int(said["limit"]), self._options.history_page)
        return _envelope(ACTION_COMPLETE, "Successful", rows[skip : skip + limit])

    def _mine(self, job_id: str) -> Job | None:
        job = self._world.job(job_id)
        return job if job is not None and job.booking.protocol == PROTOCOL else None

    def _rows(self, job: Job) -> list[dict[str, Any]]:
        driver = job.driver or {}
        common = {
            "unique_order_id": job.job_id,
            "creation_datetime": job.accepted_at.astimezone(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "fleet_name": driver.get("name", ""),
            "fleet_phone": driver.get("phone", ""),
            **({"delivery_instruction": job.booking.note} if self.names_reference else {}),
        }
        pairs = enumerate(zip(job.leg_ids, _legs(job), strict=True))
        return [{"job_id": leg, "job_type": kind, "job_status": status, **common} for kind, (leg, status) in pairs]


def _legs(job: Job) -> tuple[int, int]:
    if job.stage is Stage.FAILED:
        return (2, 3) if job.was_picked_up else (3, 6)
    return LEGS[job.stage]


def _places(said: Mapping[str, Any]) -> tuple[Place, Place] | None:
    """Where from and where to; None where something of it is missing, or its time is over."""
    found = []
    for name in ("pickups", "deliveries"):
        try:
            (leg,) = said[name]
            whole = all(isinstance(leg[each], str) and leg[each] for each in ("address", "name", "phone"))
            at = datetime.strptime(leg["time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
            ahead = at - abs(int(said["timezone"])) * 60 - datetime.now(UTC).timestamp()
            if not whole or ahead <= 0:
                return None
            found.append((float(leg["latitude"]), float(leg["longitude"])))
        except (KeyError, TypeError, ValueError):
            return None
    return found[0], found[1]


def _envelope(status: int, message: str, data: Any = None) -> Answer:
    return 200, {"message": message, "status": status, "data": {} if data is None else data}
