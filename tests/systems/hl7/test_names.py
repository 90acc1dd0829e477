"""Messages laid out for reading, and what is masked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.field_names import FIELD_NAMES, TITLES
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES
from dispatchlog.systems.hl7.names import HARMLESS, MOST_SEGMENTS, Segment, parse
from tests.systems.hl7.visits import CONTROL_ID, CREATED_AT, IDENTITY, STUDENT, VISIT


def only(segments: list[Segment], code: str) -> Segment:
    return next(segment for segment in segments if segment.code == code)


def lines(segment: Segment) -> dict[str, str]:
    return {field.name: field.text for field in segment.fields}


def test_a_patient_is_laid_out_by_the_names_of_the_fields() -> None:
    found = parse(build(VISIT, "ADT^A04", IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT))
    patient = only(found, "PID")
    assert patient.title == "Patient"
    shown = lines(patient)
    arabic = f"{STUDENT.family_name_ar} · {STUDENT.given_name_ar} · L"
    assert shown["Patient name"] == f"Al Mansoori · Maryam · Saeed · L\n{arabic}"
    assert shown["Administrative sex"] == "F"
    assert only(found, "MSH").value(10) == CONTROL_ID


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_nothing_that_is_left_unmasked_tells_who_it_is(message_type: str) -> None:
    found = parse(build(VISIT, message_type, IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT))
    shown = "\n".join(field.text for segment in found for field in segment.fields if not field.identifying)
    told = (
        *(STUDENT.id, STUDENT.family_name, STUDENT.given_name, STUDENT.family_name_ar, STUDENT.emirates_id),
        *(STUDENT.phone, STUDENT.email, "Palm Street", "20140903", "Haddad", "Sore throat", VISIT.number),
    )
    assert [word for word in told if word in shown] == []


@pytest.mark.parametrize("message_type", MESSAGE_TYPES)
def test_every_field_that_we_send_has_a_name(message_type: str) -> None:
    found = parse(build(VISIT, message_type, IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT))
    assert all(segment.code in TITLES for segment in found)
    assert all(field.name in FIELD_NAMES[segment.code] for segment in found for field in segment.fields)


def test_every_named_segment_says_which_of_its_fields_are_harmless() -> None:
    assert set(HARMLESS) == set(TITLES) == set(FIELD_NAMES)
    assert all(max(numbers) <= len(FIELD_NAMES[code]) for code, numbers in HARMLESS.items())


def test_an_acknowledgement_in_its_frame_is_laid_out() -> None:
    found = parse(
        b"\x0bMSH|^~\\&|HIE|X|DISPATCHLOG|S|20260309||ACK^A04^ACK|1|P|2.5.1\r"
        b"MSA|AE|7F3K|No \\T\\ never\rERR||PID^1^3|204^Unknown key identifier^HL70357|E||||unknown S-10042\r\x1c\r"
    )
    assert [segment.code for segment in found] == ["MSH", "MSA", "ERR"]
    answer, error = only(found, "MSA"), only(found, "ERR")
    assert (answer.value(1), answer.value(2), answer.value(3)) == ("AE", "7F3K", "No & never")
    assert lines(error)["HL7 error code"] == "204 · Unknown key identifier · HL70357"
    assert next(field for field in error.fields if field.number == 8).identifying


def test_a_message_with_delimiters_of_its_own_is_read_by_them() -> None:
    found = parse(b"MSH$*!\\@$APP\rPID$1$$77*x!88$$A@B*C")
    assert only(found, "PID").fields[1].repetitions == (("77", "x"), ("88",))
    assert only(found, "PID").fields[2].repetitions == (("A B", "C"),)


def test_a_segment_without_a_known_name_is_masked_as_a_whole() -> None:
    (segment,) = parse(b"ZPI|1|Omar Khan")
    assert [(field.text, field.identifying) for field in segment.fields] == [("1", True), ("Omar Khan", True)]


def test_garbage_is_shown_as_the_line_it_is() -> None:
    (segment,) = parse(b"HTTP/1.1 502 Bad\x00 Gateway \xff")
    assert segment.title == "Not a segment of HL7"
    assert segment.fields[0].text == "HTTP/1.1 502 Bad␀ Gateway �"
    assert segment.fields[0].identifying


def test_an_endless_message_is_cut_and_says_so() -> None:
    assert len(parse(b"NTE|1\r" * (MOST_SEGMENTS + 5))) == MOST_SEGMENTS + 1
    assert parse(b"x" * 1_000_000)[-1].title == "The rest is too long to show"
    assert parse(b"") == []


@given(st.one_of(st.binary(max_size=300), st.text("MSHPIDOBX|^~\\&\r\n.1", max_size=300).map(str.encode)))
def test_anything_gives_a_readable_result(wire: bytes) -> None:
    for segment in parse(wire):
        assert segment.title
        assert all(field.text.replace("\n", "").isprintable() or field.text for field in segment.fields)
