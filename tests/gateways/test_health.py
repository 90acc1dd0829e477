"""What a failed call says of the endpoint: a breaker must not take a refusal for an outage, nor an outage for a refusal."""

from __future__ import annotations

import pytest

from dispatchlog.engine.errors import Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.http_replies import HttpReply, classify_send


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (401, Health.BUSY),
        (408, Health.BUSY),
        (409, Health.BUSY),
        (422, Health.WELL),
        (429, Health.BUSY),
        (500, Health.AWAY),
        (503, Health.AWAY),
    ],
)
def test_an_http_status_says_whether_anybody_is_there(status: int, health: Health) -> None:
    assert classify_send(HttpReply(status, {}, b""), who="It").health is health


def test_without_a_word_an_error_in_vain_is_an_absence_and_a_refusal_is_none() -> None:
    assert [kind("").health for kind in (Transient, OutcomeUnknown, Permanent)] == [
        Health.AWAY,
        Health.AWAY,
        Health.WELL,
    ]
