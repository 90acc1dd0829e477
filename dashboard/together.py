"""Requests that come while others of their kind are dealt with are dealt with together, next. Owns whose turn it is.

One transaction for many is what lets a process that has fallen behind catch up; while nobody else asks, nobody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True)
class _Asked(Generic[Q, A]):
    question: Q
    answers: list[A]
    owner: int
    error: Exception | None = None


class Together(Generic[Q, A]):
    """Answers questions by `answer`, which takes at most `most` at once and gives an answer to each. Thread-safe.

    Where it fails each is asked alone, so one that is wrong costs the others nothing; unless `is_everybodys` says that the
    error is no question's own.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        *,
        most: int = 64,
        is_everybodys: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._answer = answer
        self._most = most
        self._is_everybodys = is_everybodys
        self._guard = threading.Lock()
        self._waiting: list[_Asked[Q, A]] = []
        self._turn = threading.Lock()

    def ask(self, question: Q) -> A:
        """The answer; what `answer` raises when it is asked this alone is raised here."""
        asked: _Asked[Q, A] = _Asked(question, [], threading.get_ident())
        with self._guard:
            self._waiting.append(asked)
        with self._turn:
            while not asked.answers and asked.error is None:
                self._answer_next()
        if asked.error is not None:
            raise asked.error
        return asked.answers[0]

    def _answer_next(self) -> None:
        with self._guard:
            together, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            answers = self._answer([each.question for each in together])
        except Exception as error:  # noqa: BLE001  (raised by whoever waits for it)
            for each in together:
                if self._is_everybodys(error):
                    each.error = error
                else:
                    self._answer_alone(each)
        except BaseException:
            # This thread is to end; the others ask again.
            with self._guard:
                self._waiting[:0] = [each for each in together if each.owner != threading.get_ident()]
            raise
        else:
            for each, answer in zip(together, answers, strict=True):
                each.answers.append(answer)

    def _answer_alone(self, asked: _Asked[Q, A]) -> None:
        try:
            asked.answers.extend(self._answer([asked.question]))
        except Exception as error:  # noqa: BLE001  (raised by whoever waits for it)
            asked.error = error
