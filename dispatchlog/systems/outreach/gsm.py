"""How many segments a text message takes (3GPP TS 23.038 and 23.040). Pure functions.

A text in the GSM-7 alphabet has 160 characters, or 153 in each of several segments; any other character makes it UCS-2 with
70, or 67 in each of several. A character is never split between two segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each takes two places: the escape and itself.
_EXTENDED = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True, slots=True)
class Segments:
    """`characters` as the network counts them; `unusual` are those for which the text is not GSM-7, each once."""

    number: int
    characters: int
    encoding: str
    unusual: tuple[str, ...]

    @property
    def room(self) -> int:
        """How many characters one segment takes when there are this many segments."""
        return (160 if self.number < 2 else 153) if self.encoding == "GSM-7" else (70 if self.number < 2 else 67)


def count_segments(text: str) -> Segments:
    """The segments of a text; an empty one has none."""
    unusual = tuple(dict.fromkeys(each for each in text if each not in _BASIC and each not in _EXTENDED))
    if unusual:
        sizes = [2 if ord(each) > 0xFFFF else 1 for each in text]
        return Segments(_number(sizes, alone=70, among=67), sum(sizes), "UCS-2", unusual)
    sizes = [2 if each in _EXTENDED else 1 for each in text]
    return Segments(_number(sizes, alone=160, among=153), sum(sizes), "GSM-7", ())


def _number(sizes: Iterable[int], *, alone: int, among: int) -> int:
    sizes = list(sizes)
    if sum(sizes) <= alone:
        return 1 if sizes else 0
    number, used = 1, 0
    for size in sizes:
        if used + size > among:
            number, used = number + 1, 0
        used += size
    return number
