"""Owns what the test exchange answers: one answer per message, by its place in line or by a rule; answers nobody."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Way = Literal[
    "whole",  # the acknowledgement, whole
    "split",  # in small pieces
    "drip",  # one byte each `interval_seconds`
    "mute",  # never
    "half",  # half of it, then silence
    "truncate",  # half of it, then the connection is closed
    "twice",  # the acknowledgement, and at once another one nobody asked for
    "wrong_id",  # with another message's control id
    "garbage",  # what is no frame, over HTTP no HTTP
    "nonsense",  # a frame, over HTTP a body, that is no acknowledgement
    "huge",  # one megabyte
    "close",  # the connection is closed without an answer
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens to one message.

    Attributes:
        way: how the acknowledgement travels.
        code: MSA-1; error: ERR-3.1; text: ERR-8.
        accept: whether the message is taken first; by default only under AA and CA.
        delay_seconds: wait before answering.
        status: over HTTP, instead of 200; headers: over HTTP, besides the usual ones; body: False leaves it empty.
    """

    way: Way = "whole"
    code: str = "AA"
    error: str = ""
    text: str = ""
    accept: bool = True
    delay_seconds: float = 0.0
    interval_seconds: float = 0.2
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bool = True

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Answer:
        """Raises ValueError: an unknown field or way."""
        if document.get("way", "whole") not in get_args(Way):
            raise ValueError(f"a way is one of {', '.join(get_args(Way))}")
        try:
            return cls(**{"accept": document.get("code", "AA") in ("AA", "CA"), **document})
        except TypeError as error:
            raise ValueError(f"an answer knows only {', '.join(cls.__dataclass_fields__)}") from error


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer for messages with this control id and this patient (PID-3.1); an empty one means any."""

    answer: Answer
    control_id: str = ""
    patient: str = ""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rule:
        """Raises ValueError: an unknown field."""
        unknown = set(document) - {"answer", "control_id", "patient"}
        if unknown:
            raise ValueError(f"a rule knows only answer, control_id and patient, not {', '.join(sorted(unknown))}")
        answer = Answer.from_json(document.get("answer", {}))
        return cls(answer, document.get("control_id", ""), document.get("patient", ""))

    def covers(self, control_id: str, patient: str) -> bool:
        return self.control_id in ("", control_id) and self.patient in ("", patient)


class Script:
    """Rules first, then answers in line, each used once, then the standing answer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[Answer] = deque()
        self._rules: list[Rule] = []
        self._standing = Answer()

    def load(self, document: Mapping[str, Any]) -> None:
        """`{"answers": [..], "rules": [..], "standing": {..}}` in place of what was scripted before.

        Raises:
            ValueError: an unknown field; nothing was changed.
        """
        unknown = set(document) - {"answers", "rules", "standing"}
        if unknown:
            raise ValueError(f"a script knows only answers, rules and standing, not {', '.join(sorted(unknown))}")
        line = [Answer.from_json(answer) for answer in document.get("answers", [])]
        rules = [Rule.from_json(rule) for rule in document.get("rules", [])]
        self.set(line, rules=rules, standing=Answer.from_json(document.get("standing", {})))

    def set(
        self, answers: Iterable[Answer] = (), *, rules: Iterable[Rule] = (), standing: Answer | None = None
    ) -> None:
        with self._lock:
            self._line, self._rules, self._standing = deque(answers), list(rules), standing or Answer()

    def next(self, control_id: str, patient: str) -> Answer:
        with self._lock:
            for rule in self._rules:
                if rule.covers(control_id, patient):
                    return rule.answer
            return self._line.popleft() if self._line else self._standing
