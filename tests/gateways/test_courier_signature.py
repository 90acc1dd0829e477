"""How a courier's webhook is signed, by vectors made with openssl, and what is refused."""

from __future__ import annotations

import pytest

from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.gateways.courier_signature import HEADER, TOLERANCE_SECONDS, check, sign

AT = 1_700_000_000
BODY = b'{"eventId":"evt-1","jobId":"J-1","status":"BOOKED"}'
# printf '%s.%s' 1700000000 "$BODY" | openssl dgst -sha256 -hmac "$SECRET"
BY_OLD = "33ca678de2f505c53fbf2506be308f4f19a63308b06c2f5c3695ba68e94607d0"
BY_NEW = "79a4c90965a8c095b9b4c36c09d83e318d28ce929c877fc662bee6ae82a7545e"
OLD, NEW = "old-secret", "new-secret"


def refused(header: str, *secrets: str, body: bytes = BODY, now: float = AT) -> str:
    with pytest.raises(WebhookRefused) as error:
        check({HEADER: header}, body, secrets or (OLD,), now=now)
    return error.value.code


def test_a_signature_is_what_openssl_makes_of_instant_full_stop_and_body() -> None:
    assert sign([OLD], BODY, at=AT) == f"t={AT},v1={BY_OLD}"
    assert sign([OLD, NEW], BODY, at=AT) == f"t={AT},v1={BY_OLD},v1={BY_NEW}"


@pytest.mark.parametrize("secrets", [(OLD,), (NEW,), (NEW, OLD), ("unused", NEW)])
def test_one_signature_that_fits_one_secret_is_enough_while_secrets_change(secrets: tuple[str, ...]) -> None:
    check({"courier-signature": f"t={AT}, v1={BY_OLD}, v1={BY_NEW}"}, BODY, secrets, now=AT)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1700000000",
        f"v1={BY_OLD}",
        f"t=1700000001,v1={BY_OLD}",
        f"t=1700000000,t=1700000000,v1={BY_OLD}",
        f"t=+1700000000,v1={BY_OLD}",
        "t=1700000000,v1=",
        f"t=1700000000,v1={BY_NEW}",
        f"t=1700000000,v1={BY_OLD[:-1]}",
        f"t=1700000000,v0={BY_OLD}",
        f"t=1700000000,v1={BY_OLD.upper()}",
        "t=1700000000,v1=\udcffé",
        "t=" + "9" * 5_000,
    ],
)
def test_what_does_not_fit_is_no_signature(header: str) -> None:
    assert refused(header) == "WEBHOOK_SIGNATURE_INVALID"


def test_another_body_or_no_secret_is_refused() -> None:
    header = f"t={AT},v1={BY_OLD}"
    assert refused(header, body=BODY + b" ") == "WEBHOOK_SIGNATURE_INVALID"
    with pytest.raises(WebhookRefused):
        check({HEADER: header}, BODY, (), now=AT)
    with pytest.raises(WebhookRefused):
        check({HEADER: sign([""], BODY, at=AT)}, BODY, ("",), now=AT)


@pytest.mark.parametrize("away", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1])
def test_an_old_or_coming_instant_is_stale_only_where_the_signature_is_right(away: int) -> None:
    assert refused(f"t={AT},v1={BY_OLD}", now=AT + away) == "WEBHOOK_STALE"
    assert refused(f"t={AT},v1={BY_NEW}", now=AT + away) == "WEBHOOK_SIGNATURE_INVALID"
    check(
        {HEADER: f"t={AT},v1={BY_OLD}"}, BODY, (OLD,), now=AT + (TOLERANCE_SECONDS if away > 0 else -TOLERANCE_SECONDS)
    )
