"""Another secret key, the old one still known: nobody is signed out, no form is refused, no link goes dead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dashboard import create_app
from dashboard.signed_ids import read_id, sign_id
from dispatchlog.keys.secret_keys import secret_keys
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.form_links import sign_form_token
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.second_factors import give_second_factor, half_signed_in
from tests.keys.owning import rotate, rotate_secret

FIRST = "a secret for tests only"
SECOND = "another secret for tests"
VIEWER = "viewer@example.org"


def with_secret(patch: pytest.MonkeyPatch, secret: str, *old: str) -> Dashboard:
    """The dashboard as started anew with this secret key and these old ones."""
    patch.setenv("DISPATCHLOG_SECRET_KEY", secret)
    patch.setenv("DISPATCHLOG_OLD_SECRET_KEYS", ",".join(old))
    get_settings.cache_clear()
    return Dashboard(create_app(get_settings()))


def same_browser(visitor: Visitor, dash: Dashboard) -> Visitor:
    """The visitor's browser, its page still open, in front of another start of the dashboard."""
    client = dash.app.test_client()
    cookie = visitor.client.get_cookie("dispatchlog")
    assert cookie is not None
    client.set_cookie("dispatchlog", cookie.value)
    return Visitor(client, token=visitor.token)


@pytest.mark.parametrize(("old", "status"), [((FIRST,), 302), ((), 400)])
def test_a_page_from_before_can_still_be_sent_while_the_old_secret_key_is_known(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch, old: tuple[str, ...], status: int
) -> None:
    before = dash.as_("viewer")
    after = same_browser(before, with_secret(monkeypatch, SECOND, *old))
    assert after.post("/sign-out").status_code == status


def test_who_is_signed_in_stays_so_with_or_without_the_old_secret_key(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dash.as_("viewer")
    for old in ((FIRST,), ()):
        after = same_browser(before, with_secret(monkeypatch, SECOND, *old))
        assert after.client.get("/account").status_code == 200


def test_a_page_of_a_start_that_knows_the_coming_secret_key_can_be_sent_to_one_that_uses_it_and_back(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = with_secret(monkeypatch, FIRST, SECOND)
    before = earlier.as_("viewer")
    later = with_secret(monkeypatch, SECOND, FIRST)
    after = same_browser(before, later)
    after.get("/help")
    assert same_browser(after, earlier).post("/sign-out").status_code == 302


def test_signing_in_with_password_and_code_works_after_both_rotations(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = give_second_factor(VIEWER)
    with_secret(monkeypatch, SECOND, FIRST)
    rotate_secret()
    rotate()
    after = with_secret(monkeypatch, SECOND)
    assert half_signed_in(after, VIEWER).post("/sign-in/code", code=app.code()).status_code == 303
    spare = half_signed_in(after, VIEWER).post("/sign-in/code", code=app.recovery_codes[0])
    assert spare.status_code == 303


@pytest.mark.parametrize(("old", "status"), [((FIRST,), 200), ((), 404)])
def test_a_form_link_opens_while_the_secret_key_that_signed_it_is_known(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch, old: tuple[str, ...], status: int
) -> None:
    ends = datetime.now(UTC) + timedelta(days=1)
    token = sign_form_token(get_settings().secret_keys, dispatch_id=uuid4(), expires_at=ends)
    after = with_secret(monkeypatch, SECOND, *old)
    assert after.visitor().get(f"/form/{token}").status_code == status


def test_a_signed_id_is_read_while_the_secret_key_that_signed_it_is_known(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = uuid4()
    text, ends = sign_id(subject, purpose="p", seconds=60, settings=settings_env)
    known = {
        "secret_key": type(settings_env.secret_key)(SECOND),
        "old_secret_keys": type(settings_env.secret_key)(FIRST),
    }
    later = settings_env.model_copy(update=known)
    assert read_id(text, purpose="p", settings=later) == (subject, ends)
    new, _ = sign_id(subject, purpose="p", seconds=60, settings=later)
    assert read_id(new, purpose="p", settings=settings_env) is None
    assert (
        read_id(
            text, purpose="p", settings=later.model_copy(update={"old_secret_keys": type(settings_env.secret_key)("")})
        )
        is None
    )


def test_old_secret_keys_are_a_list_and_never_shown(monkeypatch: pytest.MonkeyPatch, settings_env: Settings) -> None:
    monkeypatch.setenv("DISPATCHLOG_OLD_SECRET_KEYS", f" {SECOND} , {FIRST},, third ,{SECOND}")
    get_settings.cache_clear()
    assert get_settings().secret_keys == (FIRST, SECOND, "third")
    assert [key.name for key in secret_keys()] == ["DISPATCHLOG_SECRET_KEY", "old secret key 1", "old secret key 2"]
    for hidden in (FIRST, SECOND, "third"):
        assert hidden not in repr(get_settings())
        assert hidden not in repr(secret_keys())
