"""Owns which gateway serves an HL7 endpoint."""

from __future__ import annotations

from dispatchlog.engine.gateway import Gateway
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_https import Hl7HttpsGateway
from dispatchlog.gateways.hl7_mllp import MllpGateway


def open_gateway(endpoint: Hl7Endpoint) -> Gateway:
    """A gateway that connects at its first send. Raises EndpointError: a certificate or key cannot be used."""
    return MllpGateway(endpoint) if endpoint.transport == Transport.MLLP else Hl7HttpsGateway(endpoint)
