"""Owns what a sandbox does wrong, request by request: plays in a line per operation, then its standing play; does none."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

Way = Literal[
    "answer",  # as usual
    "status",  # this HTTP status, body and headers
    "envelope",  # HTTP 200, and this status in an envelope, as Kwik has it
    "reset",  # the connection is reset
    "close",  # the connection is closed
    "mute",  # never, until the client has had enough
    "half",  # half of the answer, then the connection is closed
    "drip",  # one byte each `interval_seconds`
    "garbage",  # what is no HTTP
]
if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Play:
    """What happens to one request.

    Attributes:
        do: how it is answered.
        accept: whether it has its effect first; by default only where it is answered as usual.
        delay_seconds: wait before answering, after the effect.
    """

    do: Way = "answer"
    accept: bool = True
    status: int = 500
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    interval_seconds: float = 0.2

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Play:
        """Raises ValueError: an unknown field or way."""
        play = known(cls, {"accept": document.get("do", "answer") == "answer", **document})
        if play.do not in get_args(Way):
            raise ValueError(f"a play does one of {', '.join(get_args(Way))}")
        return play


def known(kind: type[T], document: Mapping[str, Any]) -> T:
    """A dataclass from JSON. Raises ValueError: an unknown field."""
    try:
        return kind(**document)
    except TypeError as error:
        raise ValueError(f"known are only {', '.join(each.name for each in fields(kind))}") from error


class Plays:
    """Thread-safe."""

    def __init__(self, operations: Collection[str]) -> None:
        self._operations = operations
        self._lock = threading.Lock()
        self._line: dict[str, deque[Play]] = defaultdict(deque)
        self._standing: dict[str, Play] = {}

    def read(self, document: Mapping[str, Any]) -> Plays:
        """What `document` has under `plays` and `standing`, to be taken over with `take`.

        Raises:
            ValueError: an unknown operation or field.
        """
        found = Plays(self._operations)
        for operation in {**document.get("plays", {}), **document.get("standing", {})}:
            if operation not in self._operations:
                raise ValueError(f"an operation is one of {', '.join(self._operations)}")
        for name, line in document.get("plays", {}).items():
            found._line[name] = deque(map(Play.from_json, line))
        found._standing = {name: Play.from_json(play) for name, play in document.get("standing", {}).items()}
        return found

    def take(self, news: Plays) -> None:
        """What is named in `news` replaces what was scripted of it before."""
        with self._lock:
            self._line.update(news._line)
            self._standing.update(news._standing)

    def next(self, operation: str) -> Play:
        with self._lock:
            line = self._line[operation]
            return line.popleft() if line else self._standing.get(operation, Play())
