"""The six messages, compared with examples checked by hand and judged by a validator that is not ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.identity import Authority, Identity
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES, MESSAGES
from dispatchlog.systems.hl7.records import Student, Visit, VisitKind
from tests.systems.hl7.visits import CONTROL_ID, CREATED_AT, IDENTITY, STUDENT, VISIT

EXAMPLES = Path(__file__).parent / "messages"
# The validator's table of coding systems is that of the paper: it knows HL7nnnn and ISOnnnn only as a pattern.
PATTERNS = ("HL70", "ISO3166", "UCUM", "NIP001")
BARE_VISIT = Visit(
    id=VISIT.id,
    kind=VisitKind.REGISTRATION,
    number="1",
    visited_at=VISIT.visited_at,
    student=Student("1", "Khan", "Omar", STUDENT.birth_date, "M"),
)


def message(message_type: str, visit: Visit = VISIT, identity: Identity = IDENTITY) -> bytes:
    return build(visit, message_type, identity, control_id=CONTROL_ID, created_at=CREATED_AT)


def segments(encoded: bytes) -> dict[str, list[str]]:
    """The first segment of each code, divided at its fields; number n stands at n, for MSH at n - 1."""
    return {line.split("|")[0]: line.split("|") for line in reversed(encoded.decode().rstrip("\r").split("\r"))}


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_a_message_is_the_example_checked_by_hand(message_type: str) -> None:
    example = (EXAMPLES / f"{message_type.replace('^', '_')}.txt").read_text(encoding="utf-8")
    assert message(message_type).decode().replace("\r", "\n") == example


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_an_independent_validator_finds_no_fault_in_any_message(message_type: str, tmp_path: Path) -> None:
    found = parse_message(message(message_type).decode())
    report = tmp_path / "report"
    assert Validator.validate(found, report_file=str(report))
    faults = [line for line in report.read_text().splitlines() if line and not any(word in line for word in PATTERNS)]
    assert faults == []


def test_the_validator_would_find_a_message_without_its_patient() -> None:
    lines = [line for line in message("ADT^A04").decode().split("\r") if not line.startswith("PID")]
    with pytest.raises(Exception, match="PID"):
        Validator.validate(parse_message("\r".join(lines)))


@pytest.mark.parametrize(
    ("message_type", "order"),
    [
        ("ADT^A04", "MSH EVN PID PV1"),
        ("ADT^A08", "MSH EVN PID PV1"),
        ("ORU^R01", "MSH PID PV1 OBR OBX"),
        ("VXU^V04", "MSH PID PV1 ORC RXA RXR"),
        ("SIU^S12", "MSH SCH PID PV1 RGS AIS AIP"),
        ("PPR^PC1", "MSH PID PV1 PRB"),
    ],
)
def test_a_visit_that_says_the_least_makes_the_required_segments(message_type: str, order: str, tmp_path: Path) -> None:
    full = VISIT.appointment
    assert full is not None
    spoken = {
        "ADT": {},
        "ORU": {"diagnoses": VISIT.diagnoses},
        "VXU": {"immunisations": VISIT.immunisations[1:]},
        "SIU": {"appointment": replace(full, location=""), "provider": VISIT.provider},
        "PPR": {"problems": VISIT.problems[1:]},
    }[message_type[:3]]
    encoded = message(message_type, replace(BARE_VISIT, **spoken), Identity(Authority("APP"))).decode()
    assert [line[:3] for line in encoded.rstrip("\r").split("\r")] == order.split()
    assert Validator.validate(parse_message(encoded), report_file=str(tmp_path / "report"))


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_the_header_says_what_every_receiver_needs(message_type: str) -> None:
    header = message(message_type).decode().split("\r")[0].split("|")
    assert header[:2] == ["MSH", "^~\\&"]
    assert header[6] == "20260309042005+0000"
    code, event = message_type.split("^")
    assert header[8] == f"{code}^{event}^{MESSAGE_TYPES[message_type].structure}"
    assert header[9:12] == [CONTROL_ID, "P", "2.5.1"]
    assert header[17] == "UNICODE UTF-8"


def test_a_receiver_may_ask_for_the_short_message_type() -> None:
    short = segments(message("ADT^A04", identity=replace(IDENTITY, message_type_form="SHORT")))
    assert short["MSH"][8] == "ADT^A04"


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_the_same_visit_and_control_id_make_the_same_bytes(message_type: str) -> None:
    assert message(message_type) == message(message_type)


def test_each_kind_of_visit_makes_its_own_message() -> None:
    assert [MESSAGES[kind] for kind in VisitKind] == list(MESSAGE_TYPES)


def test_no_number_ever_holds_a_pair_of_pressures() -> None:
    observations = [line.split("|") for line in message("ORU^R01").decode().split("\r") if line.startswith("OBX")]
    numbers = {fields[3].split("^")[0]: fields[5] for fields in observations if fields[2] == "NM"}
    assert numbers["8480-6"] == "108"
    assert numbers["8462-4"] == "66"
    assert all(value.replace(".", "", 1).isdigit() for value in numbers.values())


@pytest.mark.parametrize(
    ("offset", "written"),
    [
        (timedelta(hours=4), "20260309081530+0400"),
        (timedelta(), "20260309081530+0000"),
        (-timedelta(hours=3, minutes=30), "20260309081530-0330"),
        (timedelta(hours=5, minutes=45), "20260309081530+0545"),
        (timedelta(hours=3, minutes=41, seconds=12), "20260309043418+0000"),
    ],
)
def test_an_instant_keeps_the_offset_it_was_reported_with(offset: timedelta, written: str) -> None:
    visit = replace(BARE_VISIT, visited_at=datetime(2026, 3, 9, 8, 15, 30, 987654, tzinfo=timezone(offset)))
    assert segments(message("ADT^A04", visit))["PV1"][44] == written


def test_arabic_names_are_sent_as_utf_8_beside_the_latin_ones() -> None:
    latin, arabic = segments(message("ADT^A04"))["PID"][5].split("~")
    assert latin.split("^")[:2] == ["Al Mansoori", "Maryam"]
    assert arabic.split("^")[:2] == ["المنصوري", "مريم"]
    assert "مريم".encode() in message("ADT^A04")


@pytest.mark.parametrize("control_id", ["", "A" * 21, "A|B", "A\rB", "Å"])
def test_a_control_id_that_a_receiver_could_misread_is_refused(control_id: str) -> None:
    with pytest.raises(ValueError, match="control id"):
        build(VISIT, "ADT^A04", IDENTITY, control_id=control_id, created_at=CREATED_AT)


def test_a_control_id_is_no_longer_than_the_endpoint_takes() -> None:
    identity = replace(IDENTITY, control_id_length=12)
    with pytest.raises(ValueError, match="1 to 12"):
        build(VISIT, "ADT^A04", identity, control_id=CONTROL_ID, created_at=CREATED_AT)


def test_a_visit_at_fault_makes_no_message() -> None:
    with pytest.raises(VisitError) as refused:
        message("ADT^A04", replace(VISIT, number="\r"))
    assert refused.value.field == "number"


def test_an_unknown_message_type_is_refused() -> None:
    with pytest.raises(VisitError) as refused:
        message("ADT^A99")
    assert (refused.value.code, refused.value.field) == ("UNKNOWN_MESSAGE_TYPE", "messageType")


def test_a_message_without_a_time_zone_is_refused() -> None:
    naive = datetime(2026, 3, 9, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        build(VISIT, "ADT^A04", IDENTITY, control_id=CONTROL_ID, created_at=naive)
