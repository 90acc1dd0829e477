"""The second factor: setting it up, signing in with codes, what is refused, and what is kept."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from passlib.totp import TOTP

from dashboard import code_step, create_app, throttle
from dashboard.live_tail import still_let_in
from dispatchlog import people, second_factor
from dispatchlog.engine.database import connected, database, fetch_all, fetch_one
from dispatchlog.people import PersonError
from dispatchlog.second_factor import Answer, SecondFactorUnreadable
from dispatchlog.settings import Settings, get_settings
from tests.dashboard.browsing import PASSWORD, Dashboard, Visitor
from tests.dashboard.second_factors import (
    App,
    forget_used_codes,
    give_second_factor,
    half_signed_in,
    problem_of,
    with_code,
)
from tests.engine.lane import owner

VIEWER = "viewer@example.org"
NEW = "eleven geese at dawn"


@pytest.fixture
def production(settings_env: Settings, dash: Dashboard) -> Dashboard:
    """The dashboard as it is in production."""
    return Dashboard(create_app(settings_env.model_copy(update={"environment": "production"})))


def id_of(email: str) -> int:
    with connected():
        return int(fetch_one("SELECT id FROM staff_users WHERE email = %s", (email,))[0])


def typed_key(text: str) -> str:
    return re.search(r'id="typed-key">([A-Z2-7 ]+)<', text).group(1).replace(" ", "")  # type: ignore[union-attr]


def shown_codes(text: str) -> list[str]:
    return re.findall(r'<li class="code">([a-z2-9-]+)</li>', text)


def actions_of(email: str) -> list[str]:
    with connected():
        return [
            row[0] for row in fetch_all("SELECT action FROM operator_actions WHERE actor = %s ORDER BY id", (email,))
        ]


# --- setting it up


def test_in_production_nothing_is_open_before_a_second_factor_is_set_up(production: Dashboard) -> None:
    visitor = production.visitor()
    visitor.get("/sign-in")
    assert visitor.post("/sign-in", email=VIEWER, password=PASSWORD).status_code == 302
    for path in ("/", "/dispatches?status=FAILED", "/account", "/roles"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/account/second-factor"), path
    assert visitor.post("/account/end-session").status_code == 303
    page = visitor.get(visitor.get("/dispatches?status=FAILED").location)
    assert "Set up your second factor" in page.text
    app = App(typed_key(page.text), [])
    done = visitor.post("/account/second-factor", code=app.code(), next="/dispatches?status=FAILED")
    assert done.status_code == 200
    assert len(shown_codes(done.text)) == second_factor.RECOVERY_CODES
    assert 'href="/dispatches?status=FAILED"' in done.text
    assert visitor.get("/dispatches?status=FAILED").status_code == 200
    assert actions_of(VIEWER)[-1] == "set_up_second_factor"


def test_whoever_is_a_patient_and_nothing_else_may_do_without_one(production: Dashboard) -> None:
    people.create_user("both@example.org", roles=["patient", "viewer"], password=PASSWORD)
    people.create_user("none@example.org", roles=[], password=PASSWORD)
    reached = {}
    for name in ("patient", "doctor", "both", "none"):
        visitor = production.visitor()
        visitor.sign_in(f"{name}@example.org")
        reached[name] = (visitor.get("/account").location or "").partition("?")[0]
    must = "/account/second-factor"
    assert reached == {"patient": "", "doctor": must, "both": must, "none": must}


def test_a_patient_who_has_one_is_asked_for_it_and_may_remove_it(production: Dashboard) -> None:
    app = give_second_factor("patient@example.org")
    visitor = with_code(production, "patient", app)
    page = visitor.get("/account/second-factor").text
    assert "Sign in without a code from now on" in page
    forget_used_codes()
    visitor.post("/account/second-factor/prove", password=PASSWORD, code=app.code(), what="remove")
    assert actions_of("patient@example.org")[-1] == "remove_second_factor"


def test_a_socket_and_a_page_ask_the_same_of_a_patient(production: Dashboard, database_url: str) -> None:
    people.create_user("both@example.org", roles=["patient", "viewer"], password=PASSWORD)
    with owner(database_url) as cursor:
        cursor.execute("UPDATE staff_roles SET permissions = permissions || '{read}' WHERE name = 'patient'")
    let_in = {}
    for name in ("patient", "both"):
        visitor = production.visitor()
        visitor.sign_in(f"{name}@example.org")
        with connected():
            whose = (f"{name}@example.org",)
            sessions = "SELECT s.id_hash FROM web_sessions s JOIN staff_users u ON u.id = s.user_id WHERE u.email = %s"
            known = {bytes(row[0]) for row in fetch_all(sessions, whose)}
            hour = timedelta(hours=1)
            let_in[name] = bool(still_let_in(database.cursor(), known, idle=hour, absolute=hour, second_factor=True))
    assert let_in == {"patient": True, "both": False}


def test_in_production_the_password_is_chosen_first_and_then_the_second_factor_set_up(production: Dashboard) -> None:
    _, given = people.create_user("new@example.org", roles=["viewer"])
    visitor = production.visitor()
    visitor.get("/sign-in")
    visitor.post("/sign-in", email="new@example.org", password=given)
    assert visitor.get("/account/second-factor").location.startswith("/account?")
    visitor.get("/account")
    done = visitor.post("/account", current=given, new=NEW, again=NEW, next="/kit-orders")
    assert visitor.get(done.location).location == "/account/second-factor?next=/kit-orders"


def test_the_picture_says_the_key_that_can_be_typed(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import qr

    drawn = []
    draw = qr.draw
    monkeypatch.setattr(qr, "draw", lambda text: drawn.append(text) or draw(text))
    visitor = dash.as_("viewer")
    visitor.get("/account/second-factor")
    visitor.post("/account/second-factor/prove", password=PASSWORD, what="set-up")
    page = visitor.get("/account/second-factor").text
    assert drawn == [
        f"otpauth://totp/dispatchlog:viewer@example.org?secret={typed_key(page)}&issuer=dispatchlog",
    ]
    assert "<img" not in page.partition('class="qr"')[2]
    assert typed_key(visitor.get("/account/second-factor").text) == typed_key(page), "the same after a reload"


def test_a_wrong_first_code_turns_nothing_on(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    visitor.get("/account/second-factor")
    visitor.post("/account/second-factor/prove", password=PASSWORD, what="set-up")
    visitor.get("/account/second-factor")
    answer = visitor.post("/account/second-factor", code="000000")
    assert answer.status_code == 400
    assert problem_of(answer.text).startswith("This code does not fit")
    assert not is_set_up(VIEWER)


def is_set_up(email: str) -> bool:
    identity = id_of(email)
    with connected():
        return second_factor.is_set_up(identity)


def test_whoever_finds_an_open_browser_sets_up_nothing_without_the_password(dash: Dashboard) -> None:
    visitor = dash.as_("viewer")
    page = visitor.get("/account/second-factor").text
    assert "typed-key" not in page
    answer = visitor.post("/account/second-factor/prove", password="not the password", what="set-up")
    assert problem_of(answer.text) == "This is not your current password."
    assert "typed-key" not in visitor.get("/account/second-factor").text
    visitor.post("/account/second-factor", code="123456")
    assert not is_set_up(VIEWER)


def test_setting_one_up_ends_all_other_sessions_and_gives_this_one_a_new_id(dash: Dashboard) -> None:
    here, elsewhere = dash.as_("viewer"), dash.as_("viewer")
    before = here.client.get_cookie("dispatchlog").value  # type: ignore[union-attr]
    here.get("/account/second-factor")
    here.post("/account/second-factor/prove", password=PASSWORD, what="set-up")
    app = App(typed_key(here.get("/account/second-factor").text), [])
    assert here.post("/account/second-factor", code=app.code()).status_code == 200
    assert [visitor.get("/").status_code for visitor in (here, elsewhere)] == [200, 303]
    assert here.client.get_cookie("dispatchlog").value != before  # type: ignore[union-attr]


# --- signing in


def test_the_code_comes_after_the_password_and_leads_where_one_wanted_to_go(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = dash.visitor()
    visitor.get("/sign-in?next=/kit-orders")
    asked = visitor.post("/sign-in?next=/kit-orders", email=VIEWER, password=PASSWORD)
    assert asked.location == "/sign-in/code?next=/kit-orders"
    assert visitor.get("/dispatches").location == "/sign-in/code?next=/dispatches"
    page = visitor.get(asked.location)
    wanted = re.search(r'name="next" value="([^"]*)"', page.text).group(1)  # type: ignore[union-attr]
    done = visitor.post("/sign-in/code", code=f"{app.code()[:3]} {app.code()[3:]}", next=wanted)
    assert (done.status_code, done.location) == (303, "/kit-orders")
    assert visitor.get("/kit-orders").status_code == 200
    with connected():
        [(detail,)] = fetch_all("SELECT detail FROM operator_actions WHERE action = 'sign_in'")
    assert detail["by"] == ["password", "code"]


def test_before_the_code_nobody_counts_as_signed_in(dash: Dashboard) -> None:
    give_second_factor(VIEWER)
    half_signed_in(dash, VIEWER)
    with connected():
        assert fetch_all("SELECT FROM web_sessions WHERE user_id IS NOT NULL") == []
    assert "sign_in" not in actions_of(VIEWER)


def test_each_step_of_signing_in_gives_the_session_a_new_id(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = dash.visitor()
    ids = []
    visitor.get("/sign-in")
    for step in (
        lambda: None,
        lambda: visitor.post("/sign-in", email=VIEWER, password=PASSWORD),
        lambda: (visitor.get("/sign-in/code"), visitor.post("/sign-in/code", code=app.code())),
    ):
        step()
        ids.append(visitor.client.get_cookie("dispatchlog").value)  # type: ignore[union-attr]
    assert len(set(ids)) == 3
    for old in ids[:2]:
        thief = dash.visitor()
        thief.client.set_cookie("dispatchlog", old)
        assert thief.get("/").location.startswith("/sign-in")
        assert thief.get("/sign-in/code").location == "/sign-in"


def test_a_code_counts_once(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    code = app.code()
    first, second = half_signed_in(dash, VIEWER), half_signed_in(dash, VIEWER)
    assert first.post("/sign-in/code", code=code).status_code == 303
    answer = second.post("/sign-in/code", code=code)
    assert answer.status_code == 400
    assert problem_of(answer.text).startswith("That code was used already.")
    assert second.get("/").status_code == 303


def test_once_a_code_was_taken_no_earlier_one_is(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    earlier, later = app.code(steps_away=-1), app.code(steps_away=1)
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=later).status_code == 303
    for code in (earlier, later):
        assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=code).status_code == 400


@pytest.mark.parametrize(("steps_away", "taken"), [(-3, False), (-1, True), (1, True), (3, False)])
def test_a_telephones_clock_may_be_half_a_minute_off(dash: Dashboard, steps_away: int, taken: bool) -> None:
    app = give_second_factor(VIEWER)
    visitor = half_signed_in(dash, VIEWER)
    middle = datetime.fromtimestamp(time.time() // 30 * 30 + 15, UTC)  # no step ends between giving and looking
    with time_machine.travel(middle, tick=False):
        answer = visitor.post("/sign-in/code", code=app.code(steps_away=steps_away))
    assert (answer.status_code == 303) == taken


def test_a_recovery_code_signs_in_once(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    typed = app.recovery_codes[3].upper().replace("-", " ")
    visitor = half_signed_in(dash, VIEWER)
    assert visitor.post("/sign-in/code", code=typed).status_code == 303
    assert "9 are left" in visitor.get("/").text
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=typed).status_code == 400
    assert actions_of(VIEWER)[-3:] == ["sign_in", "use_recovery_code", "code_refused"]


def test_a_code_of_somebody_else_is_refused(dash: Dashboard) -> None:
    give_second_factor(VIEWER)
    other = give_second_factor("support@example.org")
    for code in (other.code(), other.recovery_codes[0]):
        assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=code).status_code == 400


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\x00", "٠١٢٣٤٥", "' OR 1=1 --"])
def test_what_is_no_code_is_refused(dash: Dashboard, code: str) -> None:
    give_second_factor(VIEWER)
    answer = half_signed_in(dash, VIEWER).post("/sign-in/code", code=code)
    assert answer.status_code == 400
    assert "Not signed in: Enter your code" in answer.text


def test_the_code_is_awaited_for_ten_minutes(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    app = give_second_factor(VIEWER)
    visitor = half_signed_in(dash, VIEWER)
    later = time.time() + code_step.PATIENCE_SECONDS + 1
    monkeypatch.setattr(code_step.time, "time", lambda: later)
    assert visitor.post("/sign-in/code", code=app.code()).location.startswith("/sign-in")
    assert visitor.get("/").location == "/sign-in"


def test_whoever_owes_a_code_can_begin_again_as_somebody_else(dash: Dashboard) -> None:
    give_second_factor(VIEWER)
    visitor = half_signed_in(dash, VIEWER)
    assert visitor.post("/sign-out").status_code == 302
    assert visitor.get("/").location == "/sign-in"
    assert visitor.get("/sign-in/code").location == "/sign-in"


def test_an_account_that_was_closed_meanwhile_is_not_let_in(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = half_signed_in(dash, VIEWER)
    people.disable_user(VIEWER)
    assert visitor.post("/sign-in/code", code=app.code()).location == "/sign-in"
    assert visitor.get("/").location == "/sign-in"


def test_a_password_that_was_reset_meanwhile_begins_anew(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = half_signed_in(dash, VIEWER)
    people.set_password(VIEWER)
    assert visitor.post("/sign-in/code", code=app.code()).location == "/sign-in"


def test_a_wrong_password_is_answered_alike_with_and_without_a_second_factor(dash: Dashboard) -> None:
    give_second_factor(VIEWER)
    answers = [dash.visitor().sign_in(f"{role}@example.org", "a wrong password") for role in ("viewer", "support")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert problem_of(answers[0].text) == problem_of(answers[1].text) != ""


# --- guessing


def test_ten_wrong_codes_are_enough_from_however_many_addresses(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    for number in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        guesser = half_signed_in(dash, VIEWER)
        guesser.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        assert guesser.post("/sign-in/code", code="000000").status_code == 400
    answer = half_signed_in(dash, VIEWER).post("/sign-in/code", code=app.code())
    assert answer.status_code == 429
    assert problem_of(answer.text).startswith("Too many wrong codes for this account.")
    assert actions_of(VIEWER).count("code_refused") == throttle.MOST_PER_ACCOUNT_AND_ADDRESS


def test_wrong_passwords_do_not_keep_the_right_person_from_their_code(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    stranger = dash.visitor()
    stranger.client.environ_base["REMOTE_ADDR"] = "192.0.2.77"
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS + 1):
        stranger.sign_in(VIEWER, "a wrong password")
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=app.code()).status_code == 303


def test_whoever_finds_an_open_browser_cannot_guess_the_code(dash: Dashboard) -> None:
    visitor = with_code(dash, "viewer", give_second_factor(VIEWER))
    visitor.get("/account/second-factor")
    for _ in range(throttle.MOST_PER_ACCOUNT_AND_ADDRESS):
        assert prove(visitor, "000000", "replace").status_code == 400
    assert prove(visitor, "000000", "replace").status_code == 429


# --- changing it


def prove(visitor: Visitor, code: str, what: str):  # type: ignore[no-untyped-def]
    forget_used_codes()
    visitor.get("/account/second-factor")
    return visitor.post("/account/second-factor/prove", password=PASSWORD, code=code, what=what)


def test_replacing_it_takes_password_and_code_and_the_old_app_holds_until_the_new_one_is_proved(
    dash: Dashboard,
) -> None:
    old = give_second_factor(VIEWER)
    visitor = with_code(dash, "viewer", old)
    assert prove(visitor, "000000", "replace").status_code == 400
    assert "typed-key" not in visitor.get("/account/second-factor").text
    assert prove(visitor, old.code(), "replace").location == "/account/second-factor"
    new = App(typed_key(visitor.get("/account/second-factor").text), [])
    with_code(dash, "viewer", old)  # still the one in force
    assert visitor.post("/account/second-factor", code=new.code()).status_code == 200
    forget_used_codes()
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=old.code()).status_code == 400
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=old.recovery_codes[0]).status_code == 400
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=new.code()).status_code == 303
    assert "replace_second_factor" in actions_of(VIEWER)


def test_whoever_lost_the_app_replaces_it_with_a_recovery_code(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = with_code(dash, "viewer", app)
    assert prove(visitor, app.recovery_codes[0], "replace").status_code == 303
    assert "typed-key" in visitor.get("/account/second-factor").text


def test_leaving_everything_as_it_is_forgets_the_new_secret(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = with_code(dash, "viewer", app)
    prove(visitor, app.code(), "replace")
    new = App(typed_key(visitor.get("/account/second-factor").text), [])
    assert visitor.post("/account/second-factor/abandon").location == "/account"
    visitor.get("/account")
    late = visitor.post("/account/second-factor", code=new.code())
    assert late.status_code == 409
    assert problem_of(late.text) == "That took too long, or it is done already. Nothing was changed."
    forget_used_codes()
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=app.code()).status_code == 303


def test_new_recovery_codes_void_the_earlier_ones(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = with_code(dash, "viewer", app)
    codes = shown_codes(prove(visitor, app.code(), "codes").text)
    assert len(codes) == second_factor.RECOVERY_CODES
    assert not set(codes) & set(app.recovery_codes)
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=app.recovery_codes[0]).status_code == 400
    assert half_signed_in(dash, VIEWER).post("/sign-in/code", code=codes[0]).status_code == 303
    assert not any(code in visitor.get("/account/second-factor").text for code in codes)


def test_it_can_be_removed_where_it_is_not_mandatory_and_only_there(dash: Dashboard, production: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = with_code(production, "viewer", app)
    assert 'value="remove"' not in visitor.get("/account/second-factor").text
    assert prove(visitor, app.code(), "remove").location == "/account/second-factor"  # it begins another one
    assert is_set_up(VIEWER)
    visitor = with_code(dash, "viewer", app)
    assert prove(visitor, app.code(), "remove").location == "/account"
    assert not is_set_up(VIEWER)
    assert visitor.get("/").status_code == 200


def test_nobody_changes_the_second_factor_of_somebody_else(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    other = give_second_factor("support@example.org")
    visitor = with_code(dash, "viewer", app)
    visitor.get("/account/second-factor")
    fields = {"user_id": str(id_of("support@example.org")), "email": "support@example.org"}
    forget_used_codes()
    visitor.post("/account/second-factor/prove", password=PASSWORD, code=app.code(), what="remove", **fields)
    assert not is_set_up(VIEWER)
    forget_used_codes()
    assert half_signed_in(dash, "support@example.org").post("/sign-in/code", code=other.code()).status_code == 303


def test_resetting_it_ends_every_session_and_is_kept_with_its_reason(production: Dashboard) -> None:
    visitor = with_code(production, "viewer", give_second_factor(VIEWER))
    waiting = half_signed_in(production, VIEWER)
    second_factor.reset(VIEWER, actor="admin@example.org", reason="lost telephone")
    assert visitor.get("/").location == "/sign-in"
    assert waiting.post("/sign-in/code", code="000000").location == "/sign-in"
    again = production.visitor()
    again.get("/sign-in")
    again.post("/sign-in", email=VIEWER, password=PASSWORD)
    assert again.get("/").location == "/account/second-factor"
    with connected():
        kept = fetch_all("SELECT actor, reason FROM operator_actions WHERE action = 'reset_second_factor'")
    assert kept == [("admin@example.org", "lost telephone")]


def test_what_is_not_there_cannot_be_reset(dash: Dashboard) -> None:
    with pytest.raises(PersonError) as refused:
        second_factor.reset(VIEWER, actor="cli")
    assert refused.value.code == "NO_SECOND_FACTOR"


# --- what is stored


def test_neither_secret_nor_recovery_code_is_stored_as_it_is(dash: Dashboard) -> None:
    app = give_second_factor(VIEWER)
    visitor = with_code(dash, "viewer", app)
    prove(visitor, app.code(), "replace")
    new = typed_key(visitor.get("/account/second-factor").text)
    with connected():
        stored = [
            *fetch_all("SELECT encode(secret, 'escape'), encode(secret, 'base64') FROM staff_second_factors"),
            *fetch_all("SELECT encode(code_hash, 'escape') FROM staff_recovery_codes"),
            *fetch_all("SELECT data FROM web_sessions"),
            *fetch_all("SELECT detail::text FROM operator_actions"),
        ]
    text = " ".join(cell for row in stored for cell in row)
    for hidden in (app.secret, new, *app.recovery_codes, *(code.replace("-", "") for code in app.recovery_codes)):
        assert hidden not in text


def test_a_sealed_secret_opens_for_its_account_only(dash: Dashboard) -> None:
    sealed = second_factor.seal("JBSWY3DPEHPK3PXP", user_id=1)
    assert second_factor.unseal(sealed, user_id=1) == "JBSWY3DPEHPK3PXP"
    assert sealed != second_factor.seal("JBSWY3DPEHPK3PXP", user_id=1)
    changed = bytes([*sealed[:-1], sealed[-1] ^ 1])
    for attempt in ((sealed, 2), (changed, 1), (b"", 1)):
        with pytest.raises(SecondFactorUnreadable):
            second_factor.unseal(attempt[0], user_id=attempt[1])


def test_with_another_secret_key_nobody_gets_in_and_the_page_says_what_to_do(
    settings_env: Settings, dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = give_second_factor(VIEWER)
    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", "another secret of this service")
    get_settings.cache_clear()
    other = Dashboard(create_app(get_settings()))
    answer = half_signed_in(other, VIEWER).post("/sign-in/code", code=app.code())
    assert answer.status_code == 409
    assert problem_of(answer.text).endswith("an administrator has to reset it.")


def test_two_at_once_with_the_same_code_let_one_in(settings_env: Settings, dash: Dashboard) -> None:
    from concurrent.futures import ThreadPoolExecutor

    app = give_second_factor(VIEWER)
    identity, code = id_of(VIEWER), app.code()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: second_factor.accept(identity, code), range(8)))
    assert sorted(answer.name for answer in answers) == ["CODE", *["USED"] * 7]
    with ThreadPoolExecutor(8) as threads:
        spare = app.recovery_codes[0]
        answers = list(threads.map(lambda _: second_factor.accept(identity, spare), range(8)))
    assert answers.count(Answer.RECOVERY_CODE) == 1


def test_the_codes_are_those_of_rfc_6238() -> None:
    # Appendix B, the SHA-1 rows, whose last six digits are the six-digit codes.
    app = TOTP(key="GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", format="base32")
    for at, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        assert app.generate(time=at).token == code


def test_signing_in_without_one_still_takes_only_the_password_in_development(dash: Dashboard) -> None:
    assert dash.visitor().sign_in(VIEWER).status_code == 302
    assert "Off" in dash.as_("viewer").get("/account").text
