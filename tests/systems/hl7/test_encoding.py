"""Whatever people write comes out of another parser as they wrote it, and never breaks a message."""

from __future__ import annotations

import re
from dataclasses import replace

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.encoding import FORBIDDEN, NEW_LINE, formatted_text, text, unescape
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES
from dispatchlog.systems.hl7.names import parse
from tests.systems.hl7.visits import CONTROL_ID, CREATED_AT, IDENTITY, STUDENT, VISIT

ALPHABET = st.one_of(st.sampled_from("\\|^&~EFSTR.br\"' "), st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))
LINE = st.text(ALPHABET, min_size=1, max_size=30).filter(
    lambda value: bool(value.strip()) and value != '""' and not FORBIDDEN.search(value)
)
NOTES = st.lists(LINE, min_size=1, max_size=5).flatmap(
    lambda lines: st.sampled_from(["\n", "\r", "\r\n"]).map(lambda end: end.join(lines))
)
ESCAPE = re.compile(r"\\(?:[EFSTR]|\.br)\\")


@given(LINE)
def test_a_name_comes_out_of_another_parser_as_it_went_in(name: str) -> None:
    visit = replace(VISIT, student=replace(STUDENT, family_name=name))
    found = hl7.parse(build(visit, "ADT^A04", IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT).decode())
    assert found.unescape(str(found.segment("PID")[5][0][0])) == name


@given(NOTES)
def test_notes_come_out_of_another_parser_line_by_line(notes: str) -> None:
    visit = replace(VISIT, notes=notes)
    encoded = build(visit, "SIU^S12", IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT)
    found = hl7.parse(encoded.decode())
    lines = str(found.segment("NTE")[3]).split("\\.br\\")
    assert [found.unescape(line) for line in lines] == NEW_LINE.split(notes)
    shown = next(segment for segment in parse(encoded) if segment.code == "NTE")
    assert shown.value(3) == "\n".join(NEW_LINE.split(notes))


@given(LINE, NOTES, st.sampled_from(list(MESSAGE_TYPES)))
def test_no_text_ever_adds_a_segment_a_field_or_a_control_character(name: str, notes: str, message_type: str) -> None:
    plain = build(VISIT, message_type, IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT).decode()
    visit = replace(VISIT, notes=notes, student=replace(STUDENT, given_name=name, given_name_ar=name))
    encoded = build(visit, message_type, IDENTITY, control_id=CONTROL_ID, created_at=CREATED_AT).decode()
    lines = encoded.removesuffix("\r").split("\r")
    assert not any(FORBIDDEN.search(line) for line in lines)
    for delimiter in "|^~&":
        counts = [[line.count(delimiter) for line in each.split("\r")] for each in (plain, encoded)]
        assert counts[0] == counts[1]
    assert "\\" not in ESCAPE.sub("", "\r".join(lines[1:]))


@given(st.text(ALPHABET))
def test_our_own_reading_undoes_our_writing(value: str) -> None:
    assert unescape(text(value)) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a|b", "a\\F\\b"),
        ("\\F\\", "\\E\\F\\E\\"),
        ("^&~", "\\S\\\\T\\\\R\\"),
        ("one\r\ntwo\rthree\nfour", "one\\.br\\two\\.br\\three\\.br\\four"),
    ],
)
def test_delimiters_and_line_ends_are_escaped_and_the_backslash_first(value: str, encoded: str) -> None:
    assert formatted_text(value) == encoded
