"""Reading acknowledgements of every dialect, frames in any pieces, the decision table, and endpoints that cannot work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.engine.errors import OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.gateways.hl7_acknowledgement import DecisionTable, match, settle
from dispatchlog.gateways.hl7_endpoint import EndpointError, Hl7Endpoint, Transport
from dispatchlog.gateways.hl7_framing import BrokenFrameError, FrameReader, FrameTooLargeError, frame

from .hl7_rigs import https_endpoint, mllp_endpoint

HEADER = "MSH|^~\\&|HIE|HIE|CLINIC|SCH-01|20260302||ACK^A04^ACK|A1|P|2.5.1\r"


def judge(acknowledgement: str, changes: dict[str, str] | None = None) -> str:
    reply = acknowledgement.encode()
    try:
        receipt = settle(match(reply, "ID1"), DecisionTable.with_changes(changes or {}), reply)
    except (Transient, Permanent, OutcomeUnknown) as error:
        return f"{type(error).__name__} {error.code}"
    assert isinstance(receipt, Receipt)
    return "duplicate" if receipt.evidence.get("duplicate") else "sent"


@pytest.mark.parametrize(
    ("segments", "outcome"),
    [
        ("MSA|AA|ID1", "sent"),
        ("MSA|CA|ID1", "sent"),
        ("MSA|AA|ID1\rERR||PID^1|205|W", "sent"),
        ("MSA|AE|ID1", "Permanent ACK_AE"),
        ("MSA|CE|ID1\rERR||PID^1^5|101^Required field missing^HL70357|E", "Permanent ACK_CE_101"),
        ("MSA|AE|ID1\rERR|||206|E", "Transient ACK_AE_206"),
        ("MSA|CE|ID1\rERR|||207|E", "Transient ACK_CE_207"),
        ("MSA|AE|ID1\rERR|||207|E\rERR|||101|E", "Permanent ACK_AE_101"),
        ("MSA|AE|ID1\rERR|||101|I\rERR|||207|E", "Transient ACK_AE_207"),
        ("MSA|AR|ID1", "Transient ACK_AR"),
        ("MSA|CR|ID1\rERR|||207|E", "Transient ACK_CR_207"),
        *((f"MSA|AR|ID1\rERR|||{code}|E", f"Permanent ACK_AR_{code}") for code in (200, 201, 202, 203)),
        ("MSA|AE|ID1\rERR|||205|E", "Permanent ACK_AE_205"),
        ("MSA|AR|ID1\rERR|||205|E", "Permanent ACK_AR_205"),
        ("MSA|AE|ID1\rERR|PID^1^5^207&Application internal error&HL70357", "Transient ACK_AE_207"),
        ("MSA|AE|ID1||||207^Application internal error", "Transient ACK_AE_207"),
        ("MSA|AE|ID1\rERR|||0^Message accepted", "Permanent ACK_AE"),
        ("MSA|AE|ID1\rERR|||A patient's name (ssn 1)|E", "Permanent ACK_AE"),
        ("MSA|AA|ID2", "OutcomeUnknown ACKNOWLEDGEMENT_MISMATCH"),
        ("MSA|AA|", "OutcomeUnknown ACKNOWLEDGEMENT_MISMATCH"),
        ("MSA|AA|id1", "OutcomeUnknown ACKNOWLEDGEMENT_MISMATCH"),
        ("MSA|XX|ID1", "OutcomeUnknown MALFORMED_REPLY"),
        ("MSA", "OutcomeUnknown MALFORMED_REPLY"),
        ("PID|1", "OutcomeUnknown MALFORMED_REPLY"),
        ("MSA|AA|ID1\rMSA|AE|ID1", "OutcomeUnknown MALFORMED_REPLY"),
    ],
)
def test_the_usual_decisions(segments: str, outcome: str) -> None:
    assert judge(HEADER + segments + "\r") == outcome
    assert judge((HEADER + segments).replace("\r", "\r\n")) == outcome
    assert judge((HEADER + segments).replace("\r", "\n")) == outcome


def test_delimiters_are_the_senders_own() -> None:
    assert judge("MSH$%~\\#$HIE$$$$$$ACK$A1$P$2.5.1\rMSA$AE$ID1\rERR$$$207%internal$E\r") == "Transient ACK_AE_207"


@pytest.mark.parametrize("reply", [b"", b"MSH", b"\x00\xff", b"<html></html>", b"MSHX^~\\&X", b"ACK"])
def test_what_is_no_message_is_malformed(reply: bytes) -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        match(reply, "ID1")
    assert unknown.value.code == "MALFORMED_REPLY"


@pytest.mark.parametrize(
    ("changes", "segments", "outcome"),
    [
        ({"*:205": "DUPLICATE"}, "MSA|AE|ID1\rERR|||205|E", "duplicate"),
        ({"*:205": "DUPLICATE"}, "MSA|AR|ID1\rERR|||205|E", "duplicate"),
        ({"AE:205": "DUPLICATE"}, "MSA|AR|ID1\rERR|||205|E", "Permanent ACK_AR_205"),
        ({"*:205": "DUPLICATE"}, "MSA|AE|ID1\rERR|||205|E\rERR|||101|E", "Permanent ACK_AE_101"),
        ({"AE": "RETRY"}, "MSA|AE|ID1\rERR|||101|E", "Transient ACK_AE_101"),
        ({"AE": "RETRY", "AE:E1001": "FAILED"}, "MSA|AE|ID1\rERR|||E1001|E", "Permanent ACK_AE_E1001"),
        ({"AR": "FAILED"}, "MSA|AR|ID1", "Permanent ACK_AR"),
        ({"AA:205": "DUPLICATE"}, "MSA|AA|ID1\rERR|||205|E", "duplicate"),
    ],
)
def test_an_endpoint_has_its_own_decisions(changes: dict[str, str], segments: str, outcome: str) -> None:
    assert judge(HEADER + segments, json.loads(json.dumps(changes))) == outcome


def test_an_errors_message_holds_codes_and_the_evidence_the_words() -> None:
    reply = (HEADER + "MSA|AE|ID1\rERR||PID^1^5|101|E||||Sara has no birth date\r").encode()
    with pytest.raises(Permanent) as no:
        settle(match(reply, "ID1"), DecisionTable(), reply)
    assert "Sara" not in no.value.message
    assert no.value.evidence["text"] == "Sara has no birth date"
    assert no.value.evidence["errors"] == ["101"]


@given(st.lists(st.binary(max_size=60).filter(lambda data: b"\x0b" not in data and b"\x1c" not in data)), st.data())
def test_frames_come_whole_whatever_the_pieces(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(message) + data.draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n"])) for message in messages)
    reader, got = FrameReader(100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.feed(stream[:size])
        stream = stream[size:]
        while (message := reader.next_message()) is not None:
            got.append(message)
    assert got == messages
    assert reader.unread == b""


@pytest.mark.parametrize("stream", [b"MSH", b"\x0bMSH\x0bMSH\x1c\r", b"\x0bMSH\x1cX", b"\x1c\r"])
def test_what_is_no_frame_is_never_guessed_at(stream: bytes) -> None:
    reader = FrameReader(100)
    reader.feed(stream)
    with pytest.raises(BrokenFrameError):
        reader.next_message()


def test_what_follows_a_frame_does_not_undo_it() -> None:
    reader = FrameReader(100)
    reader.feed(frame(b"MSH") + b"more")
    assert reader.next_message() == b"MSH"
    assert reader.unread == b"more"


@pytest.mark.parametrize("stream", [b"\x0b" + b"x" * 200, frame(b"x" * 200)])
def test_a_frame_has_a_longest_length(stream: bytes) -> None:
    reader = FrameReader(100)
    reader.feed(stream)
    with pytest.raises(FrameTooLargeError):
        reader.next_message()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "https://a"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"client_key_pem": "key"}, "client_certificate_pem"),
        ({"client_certificate_pem": "certificate"}, "client_key_pem"),
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds"),
        ({"idle_seconds": -1}, "idle_seconds"),
        ({"acknowledgements": {"AE": "SOMETIMES"}}, "acknowledgements"),
        ({"acknowledgements": {"XX": "FAILED"}}, "acknowledgements"),
        ({"acknowledgements": {"*": "FAILED"}}, "acknowledgements"),
    ],
)
def test_an_mllp_endpoint_that_cannot_work_names_the_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(EndpointError) as bad:
        mllp_endpoint(**{"port": 2575, **settings})
    assert (bad.value.code, bad.value.field) == ("BAD_ENDPOINT", field)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "ftp://a/b"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "http://exchange.example.org/hl7"}, "url"),
        ({"url": "https://a:99999/"}, "url"),
        ({"url": "https://user:secret@a/"}, "url"),
        ({"url": "https://a/b c"}, "url"),
        ({"url": "https://a/", "api_key": "a\r\nX: y"}, "api_key"),
        ({"url": "https://a/", "api_key_header": "X: "}, "api_key_header"),
    ],
)
def test_an_https_endpoint_that_cannot_work_names_the_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(EndpointError) as bad:
        Hl7Endpoint("hl7:SCH-01", Transport.HTTPS, **settings)
    assert bad.value.field == field
    assert "secret" not in bad.value.message


def test_an_endpoint_that_dedupes_is_idempotent_and_another_blind() -> None:
    assert mllp_endpoint(1).kind is GatewayKind.IDEMPOTENT
    assert https_endpoint(1, dedupes=False).kind is GatewayKind.BLIND
