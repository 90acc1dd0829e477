"""Accounts, for administrators: making, changing and closing them, whom they act for, and ending their sessions.

Each view reads the form, calls one function of `dispatchlog.people` and says what became of it; the rules (nobody changes
their own rights, one administrator stays) are kept there. A password is shown once, in the answer that made it.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import MANAGE, TICKETS, needs
from dashboard.account import browser
from dashboard.audit_filter import name_of_actor
from dashboard.context import acting_person
from dashboard.people_queries import every_role
from dashboard.person_links import NEW, link_of, read_choice
from dashboard.presentation import upper_first
from dashboard.role_wording import in_words
from dashboard.sessions import open_sessions, session_hash
from dashboard.sign_in import must_have_second_factor
from dispatchlog import account_links, people, second_factor
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.people import Person
from dispatchlog.systems.tickets.states import KIND_WORDS

pages = Blueprint("people", __name__, url_prefix="/people")

PAGE_ROWS = 50
SAY_WHY = "Say why: the reason is kept with what you did. Nothing was changed."
# Part of an address, so it is kept in the session and stands in no URL and no log.
_SEARCH = "people_search"


@pages.get("")
@needs(MANAGE)
def every_person() -> str:
    """The accounts by address; with `found`, those that the last search asked for."""
    text = session.get(_SEARCH, "") if request.args.get("found") else ""
    after = request.args.get("after", type=int)
    found = people.list_users(text=text, after=after, limit=PAGE_ROWS + 1)
    return render_template(
        "people.html",
        people=found[:PAGE_ROWS],
        more=len(found) > PAGE_ROWS,
        first=after is None,
        text=text,
        must_have_second_factor=must_have_second_factor,
    )


@pages.post("/search")
@needs(MANAGE)
def search() -> Response:
    """To the accounts whose address holds the text."""
    session[_SEARCH] = _field("q")[:200]
    return redirect(url_for("people.every_person", found=1 if session[_SEARCH] else None), 303)


@pages.get("/new")
@needs(MANAGE)
def new() -> str:
    """The form for an account."""
    return _new_page()


@pages.post("")
@needs(MANAGE)
def create() -> str | tuple[str, int]:
    """An account, and its one-time password, which is shown in this answer only."""
    email, roles = _field("email"), _roles()
    if not roles:
        return _new_page("Choose at least one role.", field="role"), 400
    try:
        user_id, password = people.create_user(email, roles=roles, actor=acting_person())
    except DispatchlogError as error:
        field = "role" if error.code == "UNKNOWN_ROLE" else "email"
        return _new_page(f"{upper_first(error.message)}.", field=field), 400
    return _password_page(_person(user_id), password, made=True)


@pages.get("/<int:user_id>")
@needs(MANAGE)
def show(user_id: int) -> str:
    """One account, what may be done to it, and where its person is signed in."""
    person = _person(user_id)
    roles = every_role()
    return render_template(
        "person.html",
        person=person,
        allowed=in_words(sorted({key for role in roles if role.name in person.roles for key in role.permissions})),
        own=person.email == acting_person(),
        roles=roles,
        second_factor=second_factor.find(user_id),
        mandatory=must_have_second_factor(person.roles),
        sessions=open_sessions(user_id),
        browser=browser,
        actor_name=name_of_actor(person.email),
        link=link_of(user_id),
        new_parties=NEW,
        kinds=KIND_WORDS,
        takes_part=any(TICKETS in role.permissions for role in roles if role.name in person.roles),
    )


@pages.post("/<int:user_id>/roles")
@needs(MANAGE)
def set_roles(user_id: int) -> Response:
    """Other roles; the reason is asked for where one is taken away."""
    seen = [name for name in _field("seen").split(",") if name]
    roles = _roles()
    if set(roles) == set(seen):
        return _refused(user_id, "Those are the roles that the account has already.")
    if set(seen) - set(roles) and not _reason():
        return _refused(user_id, SAY_WHY)

    def change(person: Person) -> str:
        people.set_roles(person.email, roles, actor=acting_person(), reason=_reason(), seen=seen)
        return f"{person.email} now has {', '.join(sorted(roles)) or 'no role'}. It counts from their next click."

    return _change(user_id, change)


@pages.post("/<int:user_id>/link")
@needs(MANAGE)
def link(user_id: int) -> Response:
    """Let the account act for somebody in tickets."""

    def change(person: Person) -> str:
        kind, party_id = read_choice(_field("whom"), _field("party"))
        linked = account_links.link_account(
            person.email, name=_field("name"), kind=kind, party_id=party_id, actor=acting_person(), reason=_reason()
        )
        return f"{person.email} acts for {linked.party_name} now. It counts from their next click."

    return _change(user_id, change) if _reason() else _refused(user_id, SAY_WHY)


@pages.post("/<int:user_id>/unlink")
@needs(MANAGE)
def unlink(user_id: int) -> Response:
    """Let the account act for nobody."""

    def change(person: Person) -> str:
        if account_links.unlink_account(person.email, actor=acting_person(), reason=_reason()):
            return f"{person.email} acts for nobody any more. What they wrote stays."
        return f"{person.email} acted for nobody already."

    return _change(user_id, change) if _reason() else _refused(user_id, SAY_WHY)


@pages.post("/<int:user_id>/disable")
@needs(MANAGE)
def disable(user_id: int) -> Response:
    """Close the account."""

    def change(person: Person) -> str:
        if people.disable_user(person.email, actor=acting_person(), reason=_reason()):
            return f"{person.email} is closed and signed out."
        return f"{person.email} was closed already."

    return _change(user_id, change) if _reason() else _refused(user_id, SAY_WHY)


@pages.post("/<int:user_id>/enable")
@needs(MANAGE)
def enable(user_id: int) -> Response:
    """Open a closed account again."""

    def change(person: Person) -> str:
        if people.enable_user(person.email, actor=acting_person(), reason=_reason()):
            return f"{person.email} may sign in again."
        return f"{person.email} was open already."

    return _change(user_id, change)


@pages.post("/<int:user_id>/password")
@needs(MANAGE)
def reset_password(user_id: int) -> Response | str:
    """A new one-time password, shown in this answer only."""
    person = _person(user_id)
    if not _reason():
        return _refused(user_id, SAY_WHY)
    try:
        password = people.set_password(person.email, actor=acting_person(), reason=_reason())
    except DispatchlogError as error:
        return _refused(user_id, f"{upper_first(error.message)}.")
    return _password_page(person, password, made=False)


@pages.post("/<int:user_id>/second-factor")
@needs(MANAGE)
def reset_second_factor(user_id: int) -> Response:
    """Take away a lost second factor."""

    def change(person: Person) -> str:
        second_factor.reset(person.email, actor=acting_person(), reason=_reason())
        return f"{person.email} has no second factor any more and is signed out."

    return _change(user_id, change) if _reason() else _refused(user_id, SAY_WHY)


@pages.post("/<int:user_id>/end-session")
@needs(MANAGE)
def end_session(user_id: int) -> Response:
    """End one of the person's sessions."""
    id_hash = session_hash(request.form.get("session", ""))

    def change(_: Person) -> str:
        ended = people.end_session(user_id, id_hash, actor=acting_person(), reason=_reason())
        return "That session has ended." if ended else "That session had ended already."

    return _change(user_id, change)


@pages.post("/<int:user_id>/end-sessions")
@needs(MANAGE)
def end_sessions(user_id: int) -> Response:
    """End all of the person's sessions."""

    def change(person: Person) -> str:
        people.sign_out_everywhere(person.email, actor=acting_person(), reason=_reason())
        return f"{person.email} is signed out everywhere."

    return _change(user_id, change) if _reason() else _refused(user_id, SAY_WHY)


def _change(user_id: int, change: Callable[[Person], str]) -> Response:
    """Do it, say what became of it, and go back to the account."""
    person = _person(user_id)
    try:
        flash(change(person), "good")
    except DispatchlogError as error:
        return _refused(user_id, f"Nothing was changed: {error.message}.")
    return redirect(url_for("people.show", user_id=user_id), 303)


def _refused(user_id: int, sentence: str) -> Response:
    flash(sentence, "bad")
    return redirect(url_for("people.show", user_id=_person(user_id).id), 303)


def _person(user_id: int) -> Person:
    person = people.find_person(user_id)
    if person is None:
        abort(404)
    return person


def _reason() -> str:
    return _field("reason")[:500]


def _roles() -> list[str]:
    return [name.replace("\x00", "") for name in request.form.getlist("role")]


def _field(name: str) -> str:
    """One line of what was entered; PostgreSQL takes no NUL."""
    return " ".join(request.form.get(name, "").replace("\x00", "").split())


def _new_page(problem: str = "", *, field: str = "") -> str:
    return render_template(
        "person_new.html",
        roles=every_role(),
        email=_field("email"),
        chosen=_roles(),
        problem=problem,
        field=field,
    )


def _password_page(person: Person, password: str, *, made: bool) -> str:
    return render_template(
        "one_time_password.html",
        person=person,
        password=password,
        made=made,
        mandatory=must_have_second_factor(person.roles),
    )
