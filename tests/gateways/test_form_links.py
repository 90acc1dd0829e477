"""Form links: signed, expiring, opaque, and secrets can be rotated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.systems.form_links import (
    FormLinkExpired,
    FormLinkInvalid,
    FormToken,
    sign_form_token,
    verify_form_token,
)

CURRENT = "current"
DISPATCH = UUID("11111111-2222-4333-8444-555555555555")
EXPIRES = datetime(2026, 4, 1, tzinfo=UTC)
BEFORE = EXPIRES - timedelta(seconds=1)


def token(secrets: str | list[str] = CURRENT) -> str:
    return sign_form_token(secrets, dispatch_id=DISPATCH, expires_at=EXPIRES)


def test_a_token_comes_back_as_what_was_signed_and_is_the_same_every_time() -> None:
    assert verify_form_token("current", token(), now=BEFORE) == FormToken(DISPATCH, EXPIRES)
    assert token() == token()
    assert token().replace(".", "").replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=400)])
def test_a_token_ends_at_its_expiry(late: timedelta) -> None:
    with pytest.raises(FormLinkExpired) as expired:
        verify_form_token("current", token(), now=EXPIRES + late)
    assert expired.value.code == "FORM_LINK_EXPIRED"


def test_no_single_character_can_be_changed() -> None:
    good = token()
    for index, character in enumerate(good[:-1]):  # the last one has spare bits: the same signature, spelt differently
        changed = good[:index] + ("0" if character != "0" else "1") + good[index + 1 :]
        with pytest.raises(FormLinkInvalid):
            verify_form_token("current", changed, now=BEFORE)


@pytest.mark.parametrize("junk", ["", ".", "a.b.c", "x" * 10_000, "é.1.x", f"{DISPATCH.hex}.9999999999"])
def test_junk_is_invalid_and_not_an_error(junk: str) -> None:
    with pytest.raises(FormLinkInvalid) as invalid:
        verify_form_token("current", junk, now=BEFORE)
    assert invalid.value.code == "FORM_LINK_INVALID"


def test_an_expired_forgery_is_called_invalid_and_not_expired() -> None:
    with pytest.raises(FormLinkInvalid):
        verify_form_token("other", token(), now=EXPIRES + timedelta(days=1))


def test_secrets_rotate_the_first_signs_and_all_verify() -> None:
    old, rotated = token("old"), token(["new", "old"])
    assert rotated == token("new") != old
    assert verify_form_token(["new", "old"], old, now=BEFORE).dispatch_id == DISPATCH
    with pytest.raises(FormLinkInvalid):
        verify_form_token(["new"], old, now=BEFORE)


@pytest.mark.parametrize("secrets", ["", [], ["good", ""]])
def test_an_empty_secret_signs_nothing(secrets: str | list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        token(secrets)


def test_naive_instants_are_refused() -> None:
    naive = datetime(2026, 4, 1)  # noqa: DTZ001  (naive on purpose)
    with pytest.raises(NaiveInstant):
        sign_form_token("s", dispatch_id=DISPATCH, expires_at=naive)
    with pytest.raises(NaiveInstant):
        verify_form_token("s", token("s"), now=naive)
