"""HL7 over HTTP: the acknowledgement in the body counts, and what a status proves."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.hl7_exchange_script import Answer

from .hl7_rigs import Hl7Rig, https_rig
from .rigs import control_id, visit

KEY = "s3cret-key"


@pytest.fixture
def rig() -> Iterator[Hl7Rig]:
    with https_rig(wanted_key=KEY, api_key=KEY) as opened:
        yield opened


def test_a_message_is_posted_with_key_and_type_over_one_connection(rig: Hl7Rig) -> None:
    for parcel in (visit(uuid4()), visit(uuid4())):
        receipt = rig.send(parcel)
        assert receipt.provider_message_id == control_id(parcel)
        assert receipt.evidence["status"] == 200
    assert rig.side.connections == 1
    assert rig.side.content_types == {"application/hl7-v2; charset=utf-8"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Answer(code="AE", error="101", accept=False), Permanent, "ACK_AE_101"),
        (Answer(code="AE", error="207", accept=False), Transient, "ACK_AE_207"),
        (Answer(code="AR", accept=False), Transient, "ACK_AR"),
        (Answer(code="AR", error="200", accept=False), Permanent, "ACK_AR_200"),
        (Answer("wrong_id"), OutcomeUnknown, "ACKNOWLEDGEMENT_MISMATCH"),
        (Answer("nonsense"), OutcomeUnknown, "MALFORMED_REPLY"),
        (Answer(body=False), OutcomeUnknown, "MALFORMED_REPLY"),
        (Answer("garbage"), OutcomeUnknown, "MALFORMED_REPLY"),
        (Answer("truncate"), OutcomeUnknown, "CONNECTION_LOST"),
        (Answer("close"), OutcomeUnknown, "CONNECTION_LOST"),
        (Answer("huge"), OutcomeUnknown, "REPLY_TOO_LARGE"),
        (Answer("mute"), OutcomeUnknown, "TIMEOUT"),
        (Answer("drip"), OutcomeUnknown, "TIMEOUT"),
    ],
    ids=lambda value: f"{value.way}-{value.code}-{value.error}" if isinstance(value, Answer) else None,
)
def test_under_200_the_acknowledgement_decides(
    rig: Hl7Rig, answer: Answer, error: type[GatewayError], code: str
) -> None:
    rig.arm(answer)
    with pytest.raises(error) as raised:
        rig.send(visit(uuid4()), seconds=0.7 if code == "TIMEOUT" else 30)
    assert raised.value.code == code
    rig.send(visit(uuid4()))


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Answer(status=401, accept=False), Transient, "ENDPOINT_REFUSED_CREDENTIALS"),
        (Answer(status=403, accept=False), Transient, "ENDPOINT_REFUSED_CREDENTIALS"),
        (Answer(status=429, body=False), Transient, "HTTP_429"),
        (Answer(status=503, body=False), Transient, "HTTP_503"),
        (Answer(status=400, body=False), Permanent, "HTTP_400"),
        (Answer(status=404, body=False), Permanent, "HTTP_404"),
        (Answer(status=400, code="AE", error="207", accept=False), Transient, "ACK_AE_207"),
        (Answer(status=500, code="AE", error="101", accept=False), Permanent, "ACK_AE_101"),
        (Answer(status=500, body=False), OutcomeUnknown, "HTTP_500"),
        (Answer(status=500), OutcomeUnknown, "HTTP_500"),
        (Answer(status=502, body=False), OutcomeUnknown, "HTTP_502"),
        (Answer(status=302, body=False), OutcomeUnknown, "HTTP_302"),
    ],
    ids=lambda value: f"{value.status}-{value.code}-{value.body}" if isinstance(value, Answer) else None,
)
def test_another_status_proves_as_much_as_it_can(
    rig: Hl7Rig, answer: Answer, error: type[GatewayError], code: str
) -> None:
    rig.arm(answer)
    with pytest.raises(error) as raised:
        rig.send(visit(uuid4()))
    assert raised.value.code == code


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_says_when_to_come_back(rig: Hl7Rig, status: int) -> None:
    rig.arm(Answer(status=status, body=False, headers={"Retry-After": "90"}))
    with pytest.raises(Transient) as busy:
        rig.send(visit(uuid4()))
    assert busy.value.retry_after_seconds == 90


def test_a_wrong_key_is_told_and_never_shown() -> None:
    with https_rig(wanted_key=KEY, api_key="another-s3cret") as rig:
        with pytest.raises(Transient) as refused:
            rig.send(visit(uuid4()))
        assert refused.value.code == "ENDPOINT_REFUSED_CREDENTIALS"
        assert "s3cret" not in f"{refused.value} {refused.value.evidence}"
        assert refused.value.health is Health.WELL, "a breaker would keep it from the end of its retries"
        assert rig.exchange.counts()["received"] == 0
