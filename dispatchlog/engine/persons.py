"""Which texts of a dispatch name or describe a person. Owns the reading of declared fields; hides nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Persons = Callable[[Mapping[str, Any], bytes], Iterable[str]]
"""A row and its bytes into the texts that name or describe a person. Raises ValueError where the bytes cannot be read;
what cannot be read is not shown masked. It reads only."""


def persons_in_fields(*names: str) -> Persons:
    """Every text in the row's columns and in the JSON payload's fields with these names, at any depth: a field may hold a
    name as well as a whole record.
    """
    wanted = frozenset(names)

    def read(row: Mapping[str, Any], body: bytes) -> list[str]:
        return [text for holder in (row, json.loads(body)) for text in _within(holder, wanted)]

    return read


def _within(value: Any, wanted: frozenset[str]) -> Iterator[str]:
    """The texts of the wanted fields in a document."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner) if name in wanted else _within(inner, wanted)
    elif _is_list(value):
        for inner in value:
            yield from _within(inner, wanted)


def _texts(value: Any) -> Iterator[str]:
    """Everything written in a value, whatever its shape."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif _is_list(value):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))
