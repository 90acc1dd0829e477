"""Owns one rig per gateway for the contract suite: the gateway, how to arm a fault, and what was really accepted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, Protocol
from uuid import UUID, uuid4

from dispatchlog.engine.gateway import Gateway, GatewayKind, Parcel
from dispatchlog.gateways.courier_generic import GenericCourier
from dispatchlog.gateways.courier_sandbox import Options, Sandbox
from dispatchlog.gateways.fake import FakeGateway, NullGateway, Outcome, Play
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_script import Answer
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide
from dispatchlog.gateways.kit_registry import HttpKitRegistry, LocalKitRegistry
from dispatchlog.gateways.kwik import KwikCourier
from dispatchlog.gateways.kwik_api import KwikAccount
from dispatchlog.gateways.outreach_letters import Parts, compose_sendgrid, compose_twilio, compose_whatsapp
from dispatchlog.gateways.outreach_sandbox import ACCOUNT_SID, PHONE_NUMBER_ID
from dispatchlog.gateways.outreach_sandbox import Options as OutreachOptions
from dispatchlog.gateways.outreach_sandbox import Sandbox as OutreachSandbox
from dispatchlog.gateways.sendgrid import SendGridGateway
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.gateways.twilio import TwilioGateway
from dispatchlog.gateways.whatsapp_cloud import WhatsAppCloudGateway
from tests.ports import free_port

from .servers import LOOPBACK, Provider

SECRET = "s3cret-token"


class Fault(Enum):
    """What goes wrong in the next send."""

    BUSY = auto()
    REFUSED = auto()
    LOST_REPLY = auto()
    RESET = auto()
    HANG = auto()
    DRIP = auto()
    GARBAGE = auto()
    TRUNCATED = auto()


class Rig(Protocol):
    """One gateway under test. `accepted` lists the sha256 of every body accepted for a parcel."""

    gateway: Gateway

    def parcel(self) -> Parcel: ...
    def arm(self, fault: Fault) -> None: ...
    def accepted(self, parcel: Parcel) -> list[str]: ...
    def unreachable(self) -> Gateway: ...


_PLAYS: dict[Fault, dict[str, Any]] = {
    Fault.LOST_REPLY: {"do": "drop", "accept": True},
    Fault.RESET: {"do": "drop"},
    Fault.HANG: {"do": "hang"},
    Fault.DRIP: {"do": "drip", "accept": True, "interval_seconds": 0.2},
    Fault.GARBAGE: {"do": "garbage"},
    Fault.TRUNCATED: {"do": "truncate", "accept": True},
}


_SANDBOX_PLAYS: dict[Fault, dict[str, Any]] = {
    Fault.BUSY: {"do": "status", "status": 429},
    Fault.REFUSED: {"do": "status", "status": 422},
    Fault.LOST_REPLY: {"do": "reset", "accept": True},
    Fault.RESET: {"do": "reset"},
    Fault.HANG: {"do": "mute"},
    Fault.DRIP: {"do": "drip", "accept": True},
    Fault.GARBAGE: {"do": "garbage"},
    Fault.TRUNCATED: {"do": "half", "accept": True},
}


class KitRegistryRig:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.gateway: Gateway = self._gateway(provider.http_url)

    def _gateway(self, url: str) -> HttpKitRegistry:
        return HttpKitRegistry(url, SECRET, key_retention_seconds=3600, deadline_seconds=5)

    def parcel(self) -> Parcel:
        return registration(uuid4())

    def arm(self, fault: Fault) -> None:
        status = {Fault.BUSY: {"do": "status", "status": 503}, Fault.REFUSED: {"do": "status", "status": 422}}
        self._provider.script("registrations", (status | _PLAYS)[fault])

    def accepted(self, parcel: Parcel) -> list[str]:
        return [entry["sha256"] for entry in self._provider.ledger(parcel.idempotency_key)]

    def unreachable(self) -> Gateway:
        return self._gateway(f"http://{LOOPBACK}:{free_port()}")


class SmtpRig:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.gateway: Gateway = SmtpGateway(provider.smtp_url, deadline_seconds=5)

    def parcel(self) -> Parcel:
        return letter(uuid4())

    def arm(self, fault: Fault) -> None:
        status = {Fault.BUSY: {"do": "status", "status": 451}, Fault.REFUSED: {"do": "status", "status": 554}}
        self._provider.script("smtp", (status | _PLAYS)[fault])

    def accepted(self, parcel: Parcel) -> list[str]:
        return [entry["sha256"] for entry in self._provider.ledger(f"{parcel.dispatch_id}@dispatchlog.test")]

    def unreachable(self) -> Gateway:
        return SmtpGateway(f"smtp://user:{SECRET}@{LOOPBACK}:{free_port()}?tls=none", deadline_seconds=5)


class CourierRig:
    """A sandbox that stands still. `name` is courier-generic or courier-kwik."""

    def __init__(self, name: str) -> None:
        self._kwik = name.endswith("kwik")
        self.sandbox = Sandbox(Options(speed=0, token=SECRET, kwik_password=SECRET))
        self.courier = self.open(self.sandbox.port)
        self.gateway: Gateway = self.courier.booking

    def open(self, port: int) -> GenericCourier | KwikCourier:
        if self._kwik:
            account = KwikAccount("sandbox", "sandbox@dispatchlog.localhost", SECRET)
            return KwikCourier(f"http://{LOOPBACK}:{port}/kwik", account)
        return GenericCourier(f"http://{LOOPBACK}:{port}/courier", SECRET)

    def parcel(self) -> Parcel:
        return booking(uuid4())

    def arm(self, fault: Fault) -> None:
        self.sandbox.script.load({"plays": {"book": [_SANDBOX_PLAYS[fault]]}})

    def accepted(self, parcel: Parcel) -> list[str]:
        jobs = [job.booking for job in self.sandbox.world.jobs()]
        if self._kwik:  # it is told in Kwik's words; what it has of ours is the reference
            return [sha256(parcel) for each in jobs if f"Ref {parcel.dispatch_id}" in each.note]
        return [each.sha256 for each in jobs if each.key == parcel.idempotency_key]

    def unreachable(self) -> Gateway:
        return self.open(free_port()).booking

    def close(self) -> None:
        self.sandbox.close()


class OutreachRig:
    """`name` is outreach-twilio, outreach-sendgrid or outreach-whatsapp."""

    def __init__(self, name: str) -> None:
        self._provider = name.removeprefix("outreach-")
        self.sandbox = OutreachSandbox(
            OutreachOptions(twilio_auth_token=SECRET, sendgrid_api_key=SECRET, whatsapp_token=SECRET)
        )
        self.gateway: Gateway = self.open(self.sandbox.port)

    def open(self, port: int) -> Gateway:
        base = f"http://{LOOPBACK}:{port}/{self._provider}"
        if self._provider == "twilio":
            return TwilioGateway(base, ACCOUNT_SID, SECRET)
        if self._provider == "sendgrid":
            return SendGridGateway(base, SECRET)
        return WhatsAppCloudGateway(f"{base}/v25.0", SECRET, PHONE_NUMBER_ID)

    def parcel(self) -> Parcel:
        return text_parcel(self._provider, uuid4())

    def arm(self, fault: Fault) -> None:
        self.sandbox.script.load({"plays": {f"{self._provider}.send": [_SANDBOX_PLAYS[fault]]}})

    def accepted(self, parcel: Parcel) -> list[str]:
        return [each.sha256 for each in self.sandbox.traffic.messages() if each.reference == str(parcel.dispatch_id)]

    def unreachable(self) -> Gateway:
        return self.open(free_port())

    def close(self) -> None:
        self.sandbox.close()


class FakeRig:
    def __init__(self, kind: GatewayKind) -> None:
        self._fake = FakeGateway(kind)
        self.gateway: Gateway = self._fake

    def parcel(self) -> Parcel:
        return registration(uuid4())

    def arm(self, fault: Fault) -> None:
        plays = {
            Fault.BUSY: Play(Outcome.TRANSIENT),
            Fault.REFUSED: Play(Outcome.PERMANENT),
            Fault.LOST_REPLY: Play(Outcome.UNKNOWN_AFTER_ACCEPT),
            Fault.TRUNCATED: Play(Outcome.UNKNOWN_AFTER_ACCEPT),
            Fault.RESET: Play(Outcome.UNKNOWN_BEFORE_ACCEPT),
            Fault.GARBAGE: Play(Outcome.UNKNOWN_BEFORE_ACCEPT),
            Fault.HANG: Play(hang_seconds=60),
            Fault.DRIP: Play(hang_seconds=60),
        }
        self._fake.script(plays[fault])

    def accepted(self, parcel: Parcel) -> list[str]:
        return [entry.body_sha256 for entry in self._fake.accepted_for(parcel.dispatch_id)]

    def unreachable(self) -> Gateway:
        fake = FakeGateway(self._fake.kind)
        fake.script(Outcome.REFUSE_CONNECTION)
        return fake


class Hl7Rig:
    """`name` is hl7-mllp, hl7-mllp-blind or hl7-https."""

    def __init__(self, name: str) -> None:
        self._blind = name.endswith("-blind")
        self._exchange = Exchange(dedupes=not self._blind)
        self._over_http = "https" in name
        self._side = (HttpSide if self._over_http else MllpSide)(self._exchange)
        self.gateway: Gateway = self._gateway(self._side.port)

    def _gateway(self, port: int) -> Gateway:
        where: dict[str, Any] = {"transport": Transport.MLLP, "host": LOOPBACK, "port": port}
        if self._over_http:
            where = {"transport": Transport.HTTPS, "url": f"http://{LOOPBACK}:{port}/hl7", "api_key": SECRET}
        return open_gateway(Hl7Endpoint("hl7:SCH-01", **where, dedupes=not self._blind))

    def parcel(self) -> Parcel:
        return visit(uuid4())

    def arm(self, fault: Fault) -> None:
        answers = {
            Fault.BUSY: Answer(code="AE", error="207", accept=False),
            Fault.REFUSED: Answer(code="AE", error="101", accept=False),
            Fault.LOST_REPLY: Answer("close"),
            Fault.RESET: Answer("close", accept=False),
            Fault.HANG: Answer("mute"),
            Fault.DRIP: Answer("drip"),
            Fault.GARBAGE: Answer("garbage", accept=False),
            Fault.TRUNCATED: Answer("truncate"),
        }
        self._exchange.script.set([answers[fault]])

    def accepted(self, parcel: Parcel) -> list[str]:
        return self._exchange.effects_of(control_id(parcel))

    def unreachable(self) -> Gateway:
        return self._gateway(free_port())

    def close(self) -> None:
        self._side.close()


def visit(dispatch_id: UUID, *, patient: str = "S-1001", size: int = 0) -> Parcel:
    """A message as it is stored for one visit."""
    identity = dispatch_id.hex[:20]
    lines = [
        f"MSH|^~\\&|CLINIC|SCH-01|EXCHANGE|HIE|20260302081500+0400||ADT^A04^ADT_A01|{identity}|P|2.5.1||||||UNICODE UTF-8",
        "EVN||20260302081500+0400",
        f"PID|1||{patient}^^^CLINIC^MR||القاسمي^سارة||20150401|F",
        "PV1|1|O",
        *(["NTE|1||" + "x" * size] if size else []),
    ]
    return Parcel(
        dispatch_id, identity, "hl7:SCH-01", "".join(f"{line}\r" for line in lines).encode(), "application/hl7-v2"
    )


def control_id(parcel: Parcel) -> str:
    return parcel.idempotency_key


def booking(dispatch_id: UUID, *, order_number: str = "RX-1001", **delivery: Any) -> Parcel:
    """A booking as it is stored for one courier dispatch."""
    pickup = {"name": "Sample Pharmacy", "phone": "+2348000000001", "address": "1 Sample Street", "city": "Lagos"}
    home = {"name": "Sample Alfa", "phone": "+2348000000002", "address": "9 Sample Close", "city": "Lagos", "note": ""}
    document = {
        "dispatchId": str(dispatch_id),
        "orderNumber": order_number,
        "attempt": 1,
        "pickup": pickup | {"latitude": 6.4281, "longitude": 3.4219, "note": ""},
        "delivery": home | {"latitude": 6.4474, "longitude": 3.4726} | delivery,
        "items": 2,
        "deliverBy": None,
    }
    body = json.dumps(document).encode()
    return Parcel(dispatch_id, f"courier-{dispatch_id}", "courier", body, trace_id="trace-1")


def registration(dispatch_id: UUID, kit_id: str = "KIT-0001") -> Parcel:
    body = json.dumps({"orderId": str(dispatch_id), "kitId": kit_id}).encode()
    return Parcel(dispatch_id, f"kit-{dispatch_id}", kit_id, body, trace_id="trace-1")


def letter(dispatch_id: UUID, text: str = "Hello") -> Parcel:
    message_id = f"{dispatch_id}@dispatchlog.test"
    body = f"From: a@clinic.test\r\nTo: b@home.test\r\nMessage-ID: <{message_id}>\r\n\r\n{text}\r\n.\r\n..dots\r\n"
    return Parcel(
        dispatch_id,
        f"mail-{dispatch_id}",
        "b@home.test",
        body.encode(),
        content_type="message/rfc822",
        headers={"envelope_from": "a@clinic.test"},
    )


def comm_job(dispatch_id: UUID, channel: str = "sms", **columns: Any) -> dict[str, Any]:
    """A row of `comm_jobs`, as far as composing looks at it."""
    address = "sample@home.test" if channel == "email" else "+12025550123"
    return {
        "id": dispatch_id,
        "channel": channel,
        "recipient": address,
        "language": "en",
        "subject": "Your appointment" if channel == "email" else None,
        "body": f"Sample Clinic: see you on 3 March, code {dispatch_id.hex[:8]}. Reply YES to confirm, STOP to opt out.",
        "provider_template": {"name": "appt_confirm", "language": "en_US", "parameters": ["3 March", "10:30"]},
    } | columns


def text_parcel(provider: str, dispatch_id: UUID, **columns: Any) -> Parcel:
    """A message as it is stored for one job: SMS, mail, WhatsApp."""
    if provider == "twilio":
        job = comm_job(dispatch_id, **columns)
        return parcel_of(compose_twilio(job, sender="+12025550199", status_url=f"http://{LOOPBACK}:9"), dispatch_id)
    if provider == "sendgrid":
        mail = compose_sendgrid(comm_job(dispatch_id, "email", **columns), sender="Sample Clinic <a@clinic.test>")
        return parcel_of(mail, dispatch_id)
    return parcel_of(compose_whatsapp(comm_job(dispatch_id, "whatsapp", **columns), in_conversation=False), dispatch_id)


def parcel_of(parts: Parts, dispatch_id: UUID) -> Parcel:
    return Parcel(dispatch_id, f"comm-{dispatch_id}", *parts)


@contextmanager
def open_rig(name: str, provider: Provider) -> Iterator[Rig]:
    rig: Rig
    if name == "kit-registry":
        rig = KitRegistryRig(provider)
    elif name == "smtp":
        rig = SmtpRig(provider)
    elif name.startswith("hl7-"):
        rig = Hl7Rig(name)
    elif name.startswith("courier-"):
        rig = CourierRig(name)
    elif name.startswith("outreach-"):
        rig = OutreachRig(name)
    else:
        rig = FakeRig(GatewayKind(name.removeprefix("fake-").upper()))
    try:
        yield rig
    finally:
        rig.gateway.close()
        if isinstance(rig, Hl7Rig | CourierRig | OutreachRig):
            rig.close()


HL7_RIGS = ("hl7-mllp", "hl7-mllp-blind", "hl7-https")
COURIER_RIGS = ("courier-generic", "courier-kwik")
OUTREACH_RIGS = ("outreach-twilio", "outreach-sendgrid", "outreach-whatsapp")
RIGS = (
    "kit-registry",
    "smtp",
    *HL7_RIGS,
    *COURIER_RIGS,
    *OUTREACH_RIGS,
    "fake-idempotent",
    "fake-lookup",
    "fake-blind",
)
PURE = (LocalKitRegistry, NullGateway)


def sha256(parcel: Parcel) -> str:
    return hashlib.sha256(parcel.body).hexdigest()
