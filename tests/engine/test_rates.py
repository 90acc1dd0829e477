"""Token buckets: the rate holds over all takers together, with and without Redis."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from dispatchlog.engine.delivery import drain
from dispatchlog.engine.rates import Rates
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway
from tests.engine.lane import enqueue, parcel_lane
from tests.engine.processes import until


@pytest.mark.parametrize("reachable", [True, False], ids=["shared through Redis", "Redis out of reach"])
def test_takers_together_never_exceed_the_rate(redis_url: str, *, reachable: bool) -> None:
    url = redis_url if reachable else "redis://127.0.0.1:1/0"
    takers = [Rates(url), Rates(url)] if reachable else [Rates(url)]
    began = looked = time.monotonic()
    granted, least = 0, 5.0
    while time.monotonic() - began < 1.0:
        least += min(5, 20 * (time.monotonic() - looked)) * 0.7  # in a pause of this process no more than the burst
        granted += sum(taker.take("exchange", 10, per_second=20, burst=5) for taker in takers)
        looked = time.monotonic()
        time.sleep(0.01)
    elapsed = time.monotonic() - began
    assert least - 1 <= granted <= 5 + 20 * elapsed + 1


def test_at_most_the_burst_is_granted_at_once(redis_url: str) -> None:
    rates = Rates(redis_url)
    assert rates.take("exchange", 100, per_second=1, burst=3) == 3
    assert rates.take("exchange", 100, per_second=1, burst=3) == 0


def test_what_was_not_used_is_given_back_and_never_more(redis_url: str) -> None:
    rates = Rates(redis_url)
    assert rates.take("exchange", 2, per_second=0.001, burst=2) == 2
    rates.give_back("exchange", 1, per_second=0.001, burst=2)
    assert rates.take("exchange", 2, per_second=0.001, burst=2) == 1
    rates.give_back("exchange", 50, per_second=0.001, burst=2)
    assert rates.take("exchange", 50, per_second=0.001, burst=2) == 2


def test_gateways_have_buckets_of_their_own(redis_url: str) -> None:
    rates = Rates(redis_url)
    assert rates.take("one", 1, per_second=0.001) == 1
    assert rates.take("other", 1, per_second=0.001) == 1


@pytest.mark.usefixtures("a_second")
def test_a_lane_with_a_rate_gives_its_gateway_no_more_than_that(runtime: Runtime) -> None:
    lane = parcel_lane(FakeGateway(), rate_per_second=5.0, burst=2)
    enqueue(lane, 20)
    gateway = lane.gateway
    assert isinstance(gateway, FakeGateway)
    began = time.monotonic()
    until(lambda: drain(lane, runtime) and len(gateway.accepted) >= 7, what="what its rate lets go in a second")
    assert len(gateway.accepted) <= 2 + 5 * (time.monotonic() - began) + 1


def test_a_worker_whose_clock_is_an_hour_ahead_takes_no_tokens_of_the_future(redis_url: str) -> None:
    rates = Rates(redis_url)
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1), tick=True):
        assert rates.take("g", 1, per_second=100) == 1
    until(lambda: rates.take("g", 1, per_second=100) == 1, what="the next token")
