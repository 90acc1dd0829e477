"""A message laid out for reading: segments, field names, values without escapes, and which of them identify a person.

Takes anything that came over a wire and never raises; what is no HL7 is shown as the lines that it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dispatchlog.systems.hl7.encoding import unescape
from dispatchlog.systems.hl7.field_names import FIELD_NAMES, TITLES

LONGEST_MESSAGE = 262_144
MOST_SEGMENTS = 2_000
MOST_FIELDS = 200
FRAMING = "\x0b\x1c\r\n"
SEGMENT_CODE = re.compile(r"[A-Z][A-Z0-9]{2}")
LINE_END = re.compile(r"\r\n|\r|\n")
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
NOT_HL7 = "Not a segment of HL7"
UNKNOWN_SEGMENT = "Segment without a known name"
UNKNOWN_FIELD = "Field without a known name"
CUT = "The rest is too long to show"
# Fields that tell nothing of who it is about. All others of these segments do, or may: names, numbers, free text.
# A segment that is not listed is masked as a whole.
HARMLESS: Mapping[str, frozenset[int]] = {
    "MSH": frozenset(range(1, 22)),
    "EVN": frozenset({1, 2, 3, 4, 6, 7}),
    "PID": frozenset({1, 8, 15, 24, 25, 27, 30, 31, 32, 33, 34, 35, 36, 37, 38}),
    "PD1": frozenset({1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18}),
    "NK1": frozenset({1, 3, 7, 8, 9}),
    "PV1": frozenset({1, 2, 3, 4, 6, 10, 11, 12, 13, 14, 15, 16, 18, *range(20, 50), 51}),
    "OBR": frozenset({1, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, *range(22, 28), 30, 36, 37, 41, 42, 44, 45, 48, 49, 50}),
    "OBX": frozenset({1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 17, 18, 19}),
    "DG1": frozenset({1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 21}),
    "AL1": frozenset({1, 2, 3, 4, 6}),
    "ORC": frozenset({1, 5, 6, 7, 9, 13, 15, 16, 17, 18, 20, 21, 22, 25, 27, 28, 29, 30}),
    "RXA": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26}),
    "RXR": frozenset({1, 2, 3, 4, 5, 6}),
    "SCH": frozenset({3, 5, 6, 8, 9, 10, 11, 15, 19, 22, 25}),
    "RGS": frozenset({1, 2, 3}),
    "AIS": frozenset({1, 2, *range(4, 13)}),
    "AIP": frozenset({1, 2, *range(4, 13)}),
    "AIL": frozenset(range(1, 13)),
    "PRB": frozenset({1, 2, 3, *range(6, 17), 18, 19, 20, 25}),
    "NTE": frozenset({1, 2, 4}),
    "MSA": frozenset({1, 2, 4, 5, 6}),
    "ERR": frozenset({2, 3, 4, 5, 9, 10, 11}),
}
NUMBERS_AND_TIMES = {"NM", "DT", "TM", "TS", "SN"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field that holds something; `repetitions` are of components, whose subcomponents are joined by a blank."""

    number: int
    name: str
    repetitions: tuple[tuple[str, ...], ...]
    identifying: bool

    @property
    def text(self) -> str:
        """The value on as few lines as it has, its components divided by a middle dot."""
        return "\n".join(" · ".join(filter(None, components)) for components in self.repetitions)


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment with the fields that hold something; `code` is empty for a line that is none."""

    code: str
    title: str
    fields: tuple[Field, ...]

    def value(self, number: int) -> str:
        """The first component of field `number`, empty if there is none."""
        return next((field.repetitions[0][0] for field in self.fields if field.number == number), "")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What divides this message, as its MSH-1 and MSH-2 say (2.5.4)."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    subcomponent: str = "&"


USUAL = Delimiters()


def parse(message: bytes) -> list[Segment]:
    """The segments of a message or an acknowledgement, with or without its MLLP frame. Never raises."""
    whole = message[:LONGEST_MESSAGE].decode("utf-8", "replace").strip(FRAMING)
    lines = [line for line in LINE_END.split(whole) if line.strip()]
    delimiters = _delimiters(lines[0]) if lines else USUAL
    segments = [_segment(line, delimiters) for line in lines[:MOST_SEGMENTS]]
    if len(message) > LONGEST_MESSAGE or len(lines) > MOST_SEGMENTS:
        segments.append(Segment("", CUT, ()))
    return segments


def _delimiters(header: str) -> Delimiters:
    """Four different signs after MSH and its separator, else the usual ones."""
    signs = header[3:8]
    plain = len(signs) == 5 and len(set(signs)) == 5 and not any(sign.isalnum() or sign.isspace() for sign in signs)
    if not header.startswith("MSH") or not plain:
        return USUAL
    field, component, repetition, _, subcomponent = tuple(signs)
    return Delimiters(field, component, repetition, subcomponent)


def _segment(line: str, delimiters: Delimiters) -> Segment:
    code, *values = line.split(delimiters.field, MOST_FIELDS)
    if not SEGMENT_CODE.fullmatch(code):
        return Segment("", NOT_HL7, (Field(0, "Text", ((_shown(line),),), True),))
    if code == "MSH":
        encoding_characters, *values = values or [""]
        fields = [_as_is(1, delimiters.field), _as_is(2, encoding_characters)]
    else:
        fields = []
    value_type = values[1] if code == "OBX" and len(values) > 1 else ""
    for number, value in enumerate(values, len(fields) + 1):
        if value:
            fields.append(_field(code, number, value, delimiters, value_type))
    return Segment(code, TITLES.get(code, UNKNOWN_SEGMENT), tuple(fields))


def _as_is(number: int, value: str) -> Field:
    return Field(number, FIELD_NAMES["MSH"][number - 1], ((_shown(value),),), False)


def _field(code: str, number: int, value: str, delimiters: Delimiters, value_type: str) -> Field:
    names = FIELD_NAMES.get(code, ())
    name = names[number - 1] if number <= len(names) else UNKNOWN_FIELD
    repetitions = tuple(_components(each, delimiters) for each in value.split(delimiters.repetition))
    return Field(number, name, repetitions, _identifies(code, number, value_type))


def _components(value: str, delimiters: Delimiters) -> tuple[str, ...]:
    return tuple(
        " ".join(_shown(unescape(part)) for part in component.split(delimiters.subcomponent))
        for component in value.split(delimiters.component)
    )


def _identifies(code: str, number: int, value_type: str) -> bool:
    if code == "OBX" and number == 5:
        return value_type not in NUMBERS_AND_TIMES
    return number not in HARMLESS.get(code, ())


def _shown(value: str) -> str:
    """With a visible sign in place of each control character."""
    return UNPRINTABLE.sub(lambda match: chr(0x2400 + ord(match[0])) if ord(match[0]) < 32 else "\ufffd", value)
