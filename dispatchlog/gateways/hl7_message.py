"""Owns as much of an HL7 v2 message as sending needs: its segments and its control id; never builds or judges one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dispatchlog.engine.errors import Permanent
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.hl7_framing import can_be_framed

_SEGMENT_END = re.compile(r"\r\n|\r|\n")


class MalformedMessageError(Exception):
    """These bytes are no HL7 v2 message, or not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message cut at its own delimiters; a segment's name is at index 0, its first field at 1, but MSH-2 at 1."""

    segments: list[list[str]]
    component: str
    subcomponent: str

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Raises MalformedMessageError."""
        text = data.decode("utf-8", "replace").lstrip("\r\n")
        if not text.startswith("MSH") or len(text) < 8:
            raise MalformedMessageError("it does not begin with MSH")
        separator, encoding = text[3], text[4:8]
        if separator.isalnum() or separator.isspace():
            raise MalformedMessageError("MSH-1 is no delimiter")
        lines = [line.split(separator) for line in _SEGMENT_END.split(text) if line]
        return cls(lines, encoding[0], encoding[3])

    @property
    def control_id(self) -> str:
        """MSH-10, empty where it has none."""
        return field_of(self.segments[0], 9)

    def named(self, name: str) -> list[list[str]]:
        """Every segment of this name."""
        return [segment for segment in self.segments if segment[0] == name]

    def first_component(self, value: str) -> str:
        return value.split(self.component, maxsplit=1)[0]


def field_of(segment: list[str], index: int) -> str:
    """A field's text, empty where the segment ends before it."""
    return segment[index].strip() if len(segment) > index else ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message fit to be sent, and the control id that its acknowledgement must name."""

    control_id: str
    body: bytes = field(repr=False)

    @classmethod
    def from_parcel(cls, parcel: Parcel) -> Outgoing:
        """Raises Permanent: BAD_MESSAGE, nothing that may go on the wire."""
        try:
            control_id = Message.parse(parcel.body.partition(b"\r")[0]).control_id
        except MalformedMessageError as error:
            raise Permanent(f"The stored message is no HL7 message ({error}).", code="BAD_MESSAGE") from error
        if not control_id:
            raise Permanent("The stored message has no control id (MSH-10).", code="BAD_MESSAGE")
        if not can_be_framed(parcel.body):
            raise Permanent("The stored message has bytes that end a frame.", code="BAD_MESSAGE")
        if parcel.headers.get("control_id", control_id) != control_id:
            raise Permanent("The stored message's MSH-10 is not its row's control id.", code="BAD_MESSAGE")
        return cls(control_id, parcel.body)
