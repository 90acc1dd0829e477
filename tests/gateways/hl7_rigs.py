"""Owns a running test exchange for the HL7 tests, and gateways that talk to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Gateway, Parcel, Receipt
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_script import Answer
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide

from .servers import LOOPBACK


@dataclass
class Hl7Rig:
    """One exchange and one gateway to it."""

    exchange: Exchange
    side: MllpSide | HttpSide
    gateway: Gateway

    def arm(self, *answers: Answer) -> None:
        self.exchange.script.set(answers)

    def send(self, parcel: Parcel, seconds: float = 30) -> Receipt:
        return self.gateway.send(parcel, deadline=Deadline(seconds), before_write=lambda: None)


def mllp_endpoint(port: int, **settings: Any) -> Hl7Endpoint:
    return Hl7Endpoint("hl7:SCH-01", Transport.MLLP, **{"host": LOOPBACK, "port": port, **settings})


def https_endpoint(port: int, *, scheme: str = "http", path: str = "/hl7", **settings: Any) -> Hl7Endpoint:
    return Hl7Endpoint("hl7:SCH-01", Transport.HTTPS, url=f"{scheme}://{LOOPBACK}:{port}{path}", **settings)


@contextmanager
def mllp_rig(tls: ssl.SSLContext | None = None, **settings: Any) -> Iterator[Hl7Rig]:
    exchange = Exchange()
    side = MllpSide(exchange, tls=tls)
    gateway = open_gateway(mllp_endpoint(side.port, tls=tls is not None, **settings))
    try:
        yield Hl7Rig(exchange, side, gateway)
    finally:
        gateway.close()
        side.close()


@contextmanager
def https_rig(tls: ssl.SSLContext | None = None, wanted_key: str = "", **settings: Any) -> Iterator[Hl7Rig]:
    exchange = Exchange()
    side = HttpSide(exchange, tls=tls, api_key=wanted_key)
    gateway = open_gateway(https_endpoint(side.port, scheme="https" if tls else "http", **settings))
    try:
        yield Hl7Rig(exchange, side, gateway)
    finally:
        gateway.close()
        side.close()
