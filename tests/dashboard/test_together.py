"""Questions that come at once are answered together, each for itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard.together import Together


def test_those_who_wait_are_answered_together_and_one_that_fails_alone_costs_the_others_nothing() -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def answer(questions: Sequence[int]) -> list[int]:
        sizes.append(len(questions))
        begun.set()
        go_on.wait(60)
        if 7 in questions:
            raise ValueError("seven")
        return [2 * question for question in questions]

    together: Together[int, int] = Together(answer)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together.ask, 0)
        assert begun.wait(60)
        others = {number: pool.submit(together.ask, number) for number in range(1, 9)}
        while len(together._waiting) < 8:
            threading.Event().wait(0.01)
        go_on.set()
        assert first.result(60) == 0
        with pytest.raises(ValueError, match="seven"):
            others.pop(7).result(60)
        assert {number: each.result(60) for number, each in others.items()} == {n: 2 * n for n in others}
    assert sizes[:2] == [1, 8]


def test_where_the_one_whose_turn_it_is_has_to_end_the_others_are_answered_all_the_same() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(questions: Sequence[str]) -> list[str]:
        if "ends" in questions:
            begun.set()
            go_on.wait(60)
            raise KeyboardInterrupt
        return [*questions]

    together: Together[str, str] = Together(answer)
    ended: list[BaseException] = []

    def ends() -> None:
        try:
            together.ask("ends")
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=ends)
    thread.start()
    assert begun.wait(60)
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(together.ask, word) for word in ("one", "two")]
        while len(together._waiting) < 2:
            threading.Event().wait(0.01)
        go_on.set()
        assert [each.result(60) for each in others] == ["one", "two"]
    thread.join(60)
    assert len(ended) == 1


def test_an_error_that_is_no_questions_own_is_everybodys_at_once() -> None:
    asked: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def answer(questions: Sequence[int]) -> list[int]:
        asked.append(len(questions))
        begun.set()
        go_on.wait(60)
        raise ConnectionError("nobody is there")

    together: Together[int, int] = Together(answer, is_everybodys=lambda error: isinstance(error, ConnectionError))
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(together.ask, 0)]
        assert begun.wait(60)
        waiting += [pool.submit(together.ask, number) for number in range(1, 4)]
        while len(together._waiting) < 3:
            threading.Event().wait(0.01)
        go_on.set()
        assert [type(each.exception(60)) for each in waiting] == [ConnectionError] * 4
    assert asked == [1, 3]
