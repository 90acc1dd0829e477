"""The breaker holds calls back when a provider is down, lets a few through to see, and never holds back for ever."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
import redis

from dispatchlog.engine.breaker import Allowance, Breaker
from tests.lateness import within

PAUSE_SECONDS = 30.0  # nothing waits for it: the tests let it pass


@pytest.fixture
def breaker(redis_url: str) -> Breaker:
    return Breaker(redis_url, pause_seconds=PAUSE_SECONDS)


@pytest.fixture
def pause(redis_url: str) -> Callable[[], None]:
    """Lets the pause pass: what the breaker remembers is that much older."""

    def age() -> None:
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            known = client.hget("dispatchlog:breaker:g", "pause")
            for instant in ("until", "asked"):
                client.hincrbyfloat("dispatchlog:breaker:g", instant, -float(str(known)) - 0.01)

    return age


def test_a_gateway_nobody_reported_on_is_free(breaker: Breaker) -> None:
    assert breaker.allow("g", 50) == Allowance(50)
    assert breaker.state("g").state == "closed"


@pytest.mark.parametrize(
    ("good", "bad", "opens"),
    [(0, 19, False), (0, 20, True), (18, 2, False), (17, 3, True), (90, 10, False), (89, 11, True), (1000, 0, False)],
)
def test_it_opens_over_a_tenth_of_failures_among_at_least_twenty_calls(
    breaker: Breaker, good: int, bad: int, opens: bool
) -> None:
    breaker.report("g", good=good, bad=0)
    breaker.report("g", good=0, bad=bad)
    assert (breaker.allow("g", 50).calls == 0) == opens
    assert (breaker.state("g").state == "open") == opens


def test_it_opens_when_nobody_answers_five_times_in_a_row_however_slowly(breaker: Breaker, redis_url: str) -> None:
    for _ in range(4):
        breaker.report("g", good=0, bad=1, away=1)
        forget_the_window(redis_url)
    assert breaker.state("g").state == "closed"
    breaker.report("g", good=0, bad=1, away=1)
    assert breaker.state("g").state == "open"


def forget_the_window(redis_url: str) -> None:
    """As a minute later."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.delete(*[key for key in client.keys("dispatchlog:breaker:g:*") if key[-1].isdigit()])


@pytest.mark.parametrize(
    ("good", "bad", "away", "opens"),
    [(1, 0, 0, False), (0, 1, 0, False), (1, 3, 3, False), (1, 5, 5, True), (0, 1, 1, True)],
)
def test_an_answer_in_between_whatever_it_says_begins_the_row_anew(
    breaker: Breaker, good: int, bad: int, away: int, opens: bool
) -> None:
    breaker.report("g", good=0, bad=4, away=4)
    breaker.report("g", good=good, bad=bad, away=away)
    assert (breaker.state("g").state == "open") == opens


def test_while_probes_fail_the_pause_doubles_up_to_twenty_times_the_first(
    breaker: Breaker, pause: Callable[[], None]
) -> None:
    breaker.report("g", good=0, bad=5, away=5)
    lasted = [breaker.state("g").opens_in_seconds]
    for _ in range(6):
        pause()
        breaker.allow("g", 50)
        breaker.report("g", good=0, bad=1, away=1)
        lasted.append(breaker.state("g").opens_in_seconds)
    assert [math.ceil(seconds / PAUSE_SECONDS) for seconds in lasted] == [1, 2, 4, 8, 16, 20, 20]


def test_after_a_success_the_pause_is_as_short_as_at_first(breaker: Breaker, pause: Callable[[], None]) -> None:
    breaker.report("g", good=0, bad=5, away=5)
    for good in (0, 0, 1):
        pause()
        breaker.allow("g", 50)
        breaker.report("g", good=good, bad=1 - good, away=1 - good)
    breaker.allow("g", 50)
    breaker.report("g", good=0, bad=1, away=1)
    assert 0 < breaker.state("g").opens_in_seconds <= PAUSE_SECONDS


def test_what_was_under_way_when_it_opened_makes_the_pause_no_longer(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.report("g", good=0, bad=20, away=20)
    assert 0 < breaker.state("g").opens_in_seconds <= PAUSE_SECONDS


def test_an_endpoint_with_little_to_send_is_trusted_a_minute_after_it_answered(
    breaker: Breaker, pause: Callable[[], None], redis_url: str
) -> None:
    breaker.report("g", good=0, bad=5, away=5)
    pause()
    breaker.allow("g", 50)
    with redis.Redis.from_url(redis_url) as client:
        assert client.ttl("dispatchlog:breaker:g") == -1
        breaker.report("g", good=1, bad=0)
        assert 0 < int(str(client.ttl("dispatchlog:breaker:g"))) <= 60
        breaker.report("g", good=0, bad=1, away=1)
        assert client.ttl("dispatchlog:breaker:g") == -1, "a failure keeps it open, however long nothing is sent"


def test_a_forgotten_breaker_is_closed_and_counts_anew(breaker: Breaker) -> None:
    breaker.report("g", good=0, bad=5, away=5)
    breaker.forget("g")
    breaker.report("g", good=0, bad=4, away=4)
    breaker.forget("g")
    breaker.report("g", good=0, bad=4, away=4)
    assert breaker.state("g").state == "closed"


def test_one_gateways_breaker_is_no_others(breaker: Breaker) -> None:
    breaker.report("g", good=0, bad=20)
    assert breaker.allow("h", 50).calls == 50


def test_all_workers_share_it(breaker: Breaker, redis_url: str) -> None:
    breaker.report("g", good=0, bad=20)
    assert Breaker(redis_url).allow("g", 50).calls == 0


def test_after_the_pause_one_call_goes_then_five_then_all(breaker: Breaker, pause: Callable[[], None]) -> None:
    breaker.report("g", good=0, bad=20)
    pause()
    assert breaker.state("g").state == "probing"
    assert breaker.allow("g", 50).calls == 1
    assert breaker.allow("g", 50).calls == 0
    breaker.report("g", good=1, bad=0)
    assert breaker.allow("g", 3).calls == 3
    assert breaker.allow("g", 50).calls == 2
    assert breaker.allow("g", 50).calls == 0
    breaker.report("g", good=5, bad=0)
    assert breaker.allow("g", 50) == Allowance(50)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_failed_probe_opens_it_again(breaker: Breaker, pause: Callable[[], None], stage: int) -> None:
    breaker.report("g", good=0, bad=20)
    pause()
    breaker.allow("g", 50)
    if stage == 2:
        breaker.report("g", good=1, bad=0)
        breaker.allow("g", 50)
    breaker.report("g", good=0, bad=1)
    assert breaker.allow("g", 50).calls == 0
    assert breaker.state("g").state == "open"


def test_a_probe_nobody_answered_for_is_handed_out_again_after_a_pause(
    breaker: Breaker, pause: Callable[[], None]
) -> None:
    breaker.report("g", good=0, bad=20)
    pause()
    assert breaker.allow("g", 50).calls == 1  # and then its worker died
    assert breaker.allow("g", 50).calls == 0
    pause()
    assert breaker.allow("g", 50).calls == 1


def test_probes_given_back_are_handed_out_again_and_never_more_than_there_were(
    breaker: Breaker, pause: Callable[[], None]
) -> None:
    breaker.report("g", good=0, bad=20)
    pause()
    probe = breaker.allow("g", 50)
    breaker.give_back("g", probe, used=0)
    breaker.give_back("g", probe, used=0)
    assert [breaker.allow("g", 50).calls for _ in range(2)] == [1, 0]
    breaker.report("g", good=1, bad=0)
    breaker.give_back("g", probe, used=0)  # of a stage that is over
    assert [breaker.allow("g", 50).calls for _ in range(2)] == [5, 0]


def test_giving_back_to_a_closed_breaker_does_nothing(breaker: Breaker) -> None:
    breaker.give_back("g", breaker.allow("g", 50), used=0)
    assert breaker.state("g").state == "closed"


def test_old_failures_are_forgotten(breaker: Breaker, redis_url: str) -> None:
    breaker.report("g", good=0, bad=19)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        (bucket,) = client.keys("dispatchlog:breaker:g:*")
        name, _, number = bucket.rpartition(":")
        client.rename(bucket, f"{name}:{int(number) - 7}")  # as 70 s later
    breaker.report("g", good=0, bad=1)
    assert breaker.allow("g", 50).calls == 50


def test_a_worker_whose_clock_is_wrong_holds_nobody_back(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time() + 3600
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: ahead)
        breaker.report("g", good=0, bad=20)
    assert 0 < breaker.state("g").opens_in_seconds <= PAUSE_SECONDS


def test_without_redis_everything_goes_through(unused_tcp_port: int) -> None:
    breaker = Breaker(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with within(2):
        breaker.report("g", good=0, bad=99)
        allowance = breaker.allow("g", 50)
        breaker.give_back("g", allowance, used=0)
        assert allowance == Allowance(50)
        assert breaker.state("g").state == "unknown"
