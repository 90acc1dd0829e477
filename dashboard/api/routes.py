"""What a route of the JSON API is, and the way of every request: token, scope, size, type, shape, and only then the view.

Owns the order of these checks. Views get a parsed document and never see the request itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Response, current_app, request
from pydantic import BaseModel

from dashboard.access import TICKETS
from dashboard.acting import acting_identity
from dashboard.api.errors import ERRORS, ApiError
from dashboard.api.signed_in import acting_person_with, is_signed_in
from dashboard.patient_reads import keep_answer
from dashboard.person_tokens import read_person_token
from dispatchlog.order_documents import Document, read_document
from dispatchlog.service_tokens import ServiceToken, verify
from dispatchlog.settings import get_settings
from dispatchlog.systems.tickets.identity import Identity, identity_of_person

MAX_BODY_BYTES = 256 * 1024
MAX_LIMIT = 200
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request: who calls, with which document and which query parameters.

    `source` is the name under which what is reported is kept, `actor` who is on record for what is done to a dispatch.
    `person` is whoever asks on the routes of persons, `scopes` what the service's token allows.
    """

    source: str
    actor: str
    document: Any
    parameters: Mapping[str, str]
    person: Identity | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def who(self) -> Identity:
        """The person, on the routes that only persons call."""
        assert self.person is not None  # noqa: S101  (for the type checker: such a route let nobody else in)
        return self.person


@dataclass(frozen=True, slots=True)
class Route:
    """One route; the URL map, the checks and the OpenAPI document are all made from it.

    Attributes:
        method, rule: as Flask has them.
        name: endpoint and operationId.
        summary: one sentence for the documentation.
        scope: what a service's token needs; "" where a person asks as themselves, with a token of their own or the session
            of an account that is linked to them.
        view: called with the Call and the path's values.
        answer: what a success answers.
        document: what the body must be; None where there is none.
        body_optional: an empty body stands for `{}`.
        parameters: query parameters and what they mean.
        required: those of them without which it refuses.
        headers: headers that it reads, and what they mean.
        codes: the errors that are particular to this route.
        unversioned: a second address, or "".
        creates: whether an answer says that something was made, which is answered 201; None where nothing is.
        permission: with which a person who is signed in to the dashboard may call it too, in place of a token; "" where
            nobody may.
    """

    method: str
    rule: str
    name: str
    summary: str
    scope: str
    view: Callable[..., BaseModel]
    answer: type[BaseModel]
    document: type[Document] | None = None
    body_optional: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    unversioned: str = ""
    creates: Callable[[Any], bool] | None = None
    permission: str = ""

    def handle(self, **path: str) -> Response:
        """Flask's view function."""
        source, actor, person, scopes = self._authorise()
        _refuse_unknown_parameters(self.parameters)
        document = self._read() if self.document else None
        answer = self.view(Call(source, actor, document, request.args, person, scopes), **path)
        keep_answer(self.name, actor=actor, why=self._ground(person, scopes), path=path)
        response = _json(answer.model_dump_json(by_alias=True))
        if self.creates is not None and self.creates(answer):
            response.status_code = 201
        return response

    def _authorise(self) -> tuple[str, str, Identity | None, frozenset[str]]:
        """Who calls: source, actor, person and scopes. Whoever sends a token is judged by that alone."""
        if not self.scope:
            who = _asking_person()
            return who.actor, who.actor, who, frozenset()
        if self.permission and "Authorization" not in request.headers and is_signed_in():
            person = acting_person_with(self.permission)
            return person, person, None, frozenset()
        token = _token(self.scope)
        return token.name, f"service:{token.name}", None, frozenset(token.scopes)

    def _ground(self, person: Identity | None, scopes: frozenset[str]) -> str:
        """On what ground the caller was let in."""
        if person is not None:
            return f"{person.kind} of tickets"
        return f"scope {self.scope}" if scopes else f"permission {self.permission}"

    def _read(self) -> Document:
        assert self.document is not None  # noqa: S101  (for the type checker: handle asked)
        body = _body()
        if not body and self.body_optional:
            body = b"{}"
        elif request.mimetype != "application/json" or request.content_encoding not in (None, "", "identity"):
            message = "send the body as Content-Type: application/json"
            raise ApiError("UNSUPPORTED_MEDIA_TYPE", message)
        return read_document(self.document, body)


def path_uuid(value: str, place: str) -> UUID:
    """The path's value as a UUID.

    Raises:
        ApiError: INVALID_UUID.
    """
    if not _UUID.fullmatch(value):
        raise ApiError(
            "INVALID_UUID", f"{place} must be a UUID such as 2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11", field=place
        )
    return UUID(value)


def read_limit(call: Call) -> int:
    """How many entries a page has.

    Raises:
        ApiError: INVALID_LIMIT.
    """
    text = call.parameters.get("limit", "50")
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_LIMIT):
        raise ApiError("INVALID_LIMIT", f"limit is a number from 1 to {MAX_LIMIT}", field="limit")
    return int(text)


def _asking_person() -> Identity:
    """The person whose token or session comes with the request.

    Raises:
        ApiError, TicketError: there is none, or they take no part any more.
    """
    if "Authorization" not in request.headers and is_signed_in():
        acting_person_with(TICKETS)
        return acting_identity()
    text = _bearer()
    token = read_person_token(text, settings=get_settings())
    if token is not None:
        return identity_of_person(token.person_id)
    if verify(text) is not None:
        message = "this route is a person's; ask for a token of theirs at /people/{personId}/access-token"
        raise ApiError("FORBIDDEN_SCOPE", message)
    raise ApiError("UNAUTHENTICATED", "send a person's token as Authorization: Bearer dlp_...")


def _token(scope: str) -> ServiceToken:
    token = verify(_bearer())
    if token is None:
        raise ApiError("UNAUTHENTICATED", "send a valid service token as Authorization: Bearer dlk_...")
    if not token.allows(scope):
        raise ApiError("FORBIDDEN_SCOPE", f"the token {token.name} does not have the scope {scope}")
    return token


def _bearer() -> str:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _refuse_unknown_parameters(known: Mapping[str, str]) -> None:
    for name in request.args:
        if name not in known:
            shown = "".join(c if c.isprintable() else "?" for c in name[:64])
            raise ApiError("UNKNOWN_FIELD", "there is no such parameter", field=shown)


def _body() -> bytes:
    """The body, read no further than the limit whatever its Content-Length says or leaves out."""
    # A chunked body that is too long is cut off silently by Werkzeug, so one byte more than the limit is asked for.
    request.max_content_length = MAX_BODY_BYTES + 1
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        raise ApiError("BODY_TOO_LARGE", ERRORS["BODY_TOO_LARGE"][1])
    return body


def _json(text: str) -> Response:
    return current_app.response_class(text, mimetype="application/json")
