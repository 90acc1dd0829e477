"""An HL7 message or acknowledgement as a page shows it: segment by segment, or raw, with what identifies a person masked.
Owns the masking of fields; stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatchlog.systems.hl7.names import FRAMING, LINE_END, LONGEST_MESSAGE, Segment, parse

# What stands in place of what somebody may not see.
HIDDEN = "•••"


@dataclass(frozen=True, slots=True)
class ShownField:
    """One field that holds something: its place (PID-5), its name, its value or the mask."""

    place: str
    name: str
    text: str
    masked: bool


@dataclass(frozen=True, slots=True)
class ShownSegment:
    """One segment; `code` is empty for a line that is none. `gist` says the whole of it in a few words, where they do."""

    code: str
    title: str
    fields: tuple[ShownField, ...]
    gist: str = ""


def laid_out(message: bytes, *, revealed: bool = False) -> list[ShownSegment]:
    """The segments with their fields' names, whatever came over the wire."""
    return [_shown(segment, revealed=revealed) for segment in parse(message)]


def raw_text(message: bytes, *, revealed: bool = False) -> str:
    """The message as it is written, a line for each segment."""
    whole = message[:LONGEST_MESSAGE].decode("utf-8", "replace").strip(FRAMING)
    lines = [line for line in LINE_END.split(whole) if line.strip()]
    if revealed:
        return "\n".join(lines)
    separator = lines[0][3:4] if lines and lines[0].startswith("MSH") else "|"
    return "\n".join(
        _masked_line(line, segment, separator or "|") for line, segment in zip(lines, parse(message), strict=False)
    )


def mask_acknowledgement(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of a try with its acknowledgement masked field by field, and without the receiver's own words, which may
    repeat what they refuse.
    """
    masked = {**evidence, "acknowledgement": raw_text(str(evidence["acknowledgement"]).encode())}
    return {**masked, "text": HIDDEN} if "text" in masked else masked


def _shown(segment: Segment, *, revealed: bool) -> ShownSegment:
    fields = tuple(
        ShownField(
            f"{segment.code}-{field.number}" if segment.code else "",
            field.name,
            field.text if revealed or not field.identifying else HIDDEN,
            masked=field.identifying and not revealed,
        )
        for field in segment.fields
    )
    return ShownSegment(segment.code, segment.title, fields, _gist(segment, fields))


def _gist(segment: Segment, fields: tuple[ShownField, ...]) -> str:
    """What was observed and its value; of a header, what type of message it is."""
    values = {field.place: field.text for field in fields}
    if segment.code == "MSH":
        return values.get("MSH-9", "")
    if segment.code != "OBX":
        return ""
    observed = next((field.repetitions[0] for field in segment.fields if field.number == 3), ())
    name = observed[1] if len(observed) > 1 else "".join(observed[:1])
    return f"{name}: {values.get('OBX-5', '')} {segment.value(6)}".strip()


def _masked_line(line: str, segment: Segment, separator: str) -> str:
    if not segment.code:
        return HIDDEN
    # The separator after MSH is itself the first field.
    first = 2 if segment.code == "MSH" else 1
    hidden = {field.number for field in segment.fields if field.identifying}
    code, *values = line.split(separator)
    return separator.join([code, *(HIDDEN if n in hidden else value for n, value in enumerate(values, first))])
