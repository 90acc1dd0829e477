"""Kwik's API as a client: login, token, envelope. Owns the token; knows no booking, and retries only a refused token.

The answer's status is inside the JSON body, whatever HTTP says: 200 done, 100 something is missing, 101 the token is not
known, 404 an error while it was carried out. The token's life is not documented, so a refused one is replaced once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.courier_words import part, text, without
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply, classify_read, classify_send
from dispatchlog.gateways.kwik_legs import number

WHO = "Kwik"
PARAMETER_MISSING, INVALID_KEY, ACTION_COMPLETE = 100, 101, 200
_MOST_MESSAGE = 200
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class _TokenRefusedError(Exception):
    """The token is not known any more; nothing was done."""


@dataclass(frozen=True, slots=True)
class KwikAccount:
    """Who we are at Kwik."""

    domain_name: str
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gave."""

    token: str = field(repr=False)
    vendor_id: Any
    user_id: Any


Fields = Callable[[Session], Mapping[str, Any]]


def _nothing() -> None:
    """The last word before a request that changes nothing."""


class KwikApi:
    """Thread-safe; one login serves every thread."""

    def __init__(self, base_url: str, account: KwikAccount, *, ca_file: Path | None = None) -> None:
        self._http = HttpClient(base_url, ca_file=ca_file)
        self._account = account
        self._session: Session | None = None
        self._logging_in = threading.Lock()

    def read(self, method: str, path: str, fields: Fields, *, deadline: Deadline, words: Iterable[str] = ()) -> Any:
        """`data` of a call that changes nothing at Kwik; `words` never stand in an error.

        Raises:
            Transient: it could not be learnt; Permanent: PARAMETER_MISSING, or the question is refused.
        """
        try:
            return self._call(method, path, fields, deadline, words, before_write=_nothing, changes=False)
        except OutcomeUnknown as error:
            raise Transient(error.message, code=error.code, evidence=error.evidence) from error

    def change(
        self,
        path: str,
        fields: Fields,
        *,
        deadline: Deadline,
        before_write: Callable[[], None],
        words: Iterable[str] = (),
    ) -> Any:
        """`data` of a call that does something. `before_write` is asked again before a second one, which only follows a
        refused token.

        Raises:
            Transient: not done, may pass; Permanent: PARAMETER_MISSING, or refused over HTTP.
            OutcomeUnknown: no answer, or an error while it was carried out.
        """
        return self._call("POST", path, fields, deadline, words, before_write=before_write, changes=True)

    def _call(
        self,
        method: str,
        path: str,
        fields: Fields,
        deadline: Deadline,
        words: Iterable[str],
        *,
        before_write: Callable[[], None],
        changes: bool,
    ) -> Any:
        session = self._log_in(None, deadline)
        secrets = [session.token, self._account.password, self._account.email, *words]
        try:
            try:
                return self._once(method, path, fields, session, deadline, before_write, changes=changes)
            except _TokenRefusedError:
                session = self._log_in(session, deadline)
                secrets.append(session.token)
                return self._once(method, path, fields, session, deadline, before_write, changes=changes)
        except _TokenRefusedError:
            raise Transient(
                f"{WHO} refuses the token that it gave a moment ago; nothing was done.", code="UNAUTHORISED"
            ) from None
        except GatewayError as error:
            raise without(error, secrets) from error.__cause__

    def _once(
        self,
        method: str,
        path: str,
        fields: Fields,
        session: Session,
        deadline: Deadline,
        before_write: Callable[[], None],
        *,
        changes: bool,
    ) -> Any:
        said = {"access_token": session.token, **fields(session)}
        if method == "GET":
            target, content = f"{path}?{urlencode(said)}", None
        else:
            target, content = path, json.dumps({"domain_name": self._account.domain_name, **said}).encode()
        reply = self._http.request(
            method, target, headers=_JSON, content=content, deadline=deadline, before_write=before_write
        )
        return _data(reply, changes=changes)

    def _log_in(self, refused: Session | None, deadline: Deadline) -> Session:
        """The session in force, a new one where there is none or it is the refused one. Raises Transient."""
        with self._turn(deadline):
            if self._session is None or self._session is refused:
                self._session = None
                self._session = self._new_session(deadline)
            return self._session

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        if not self._logging_in.acquire(timeout=deadline.remaining_seconds()):
            raise Transient(f"Another thread's login at {WHO} took too long; nothing was done.", code="TIMEOUT")
        try:
            yield
        finally:
            self._logging_in.release()

    def _new_session(self, deadline: Deadline) -> Session:
        account = self._account
        said = {
            "domain_name": account.domain_name,
            "email": account.email,
            "password": account.password,
            "api_login": 1,
        }
        try:
            reply = self._http.request(
                "POST", "/vendor_login", headers=_JSON, content=json.dumps(said).encode(), deadline=deadline
            )
            data = _data(reply, changes=False)
        except Transient as error:
            known = without(error, [account.password, account.email])
            raise _unwelcome(known.evidence) if error.code.startswith("KWIK_") else known from error.__cause__
        except OutcomeUnknown as error:
            raise Transient(error.message, code=error.code, evidence=error.evidence) from error
        except (Permanent, _TokenRefusedError) as error:
            raise _unwelcome({}) from error
        token = data.get("access_token") if isinstance(data, dict) else None
        details = part(data, "vendor_details")
        if not isinstance(token, str) or not token or "vendor_id" not in details:
            raise Transient(f"{WHO} let us in without a token.", code="MALFORMED_REPLY")
        return Session(token, details["vendor_id"], details.get("user_id"))

    def close(self) -> None:
        self._http.close()


def _unwelcome(evidence: Mapping[str, Any]) -> Transient:
    return Transient(
        f"{WHO} does not accept our login; correct the setting, the row will follow.",
        code="UNAUTHORISED",
        evidence=evidence,
    )


def _data(reply: HttpReply, *, changes: bool) -> Any:
    """`data` of an envelope that says done; else the error that this answer means."""
    document = reply.json()
    status = number(document.get("status")) if isinstance(document, dict) else None
    if not isinstance(document, dict) or status is None:
        raise _without_envelope(reply, changes=changes)
    if status == ACTION_COMPLETE:
        return document.get("data")
    if status == INVALID_KEY:
        raise _TokenRefusedError
    evidence = {"status": status, "httpStatus": reply.status, "message": text(document.get("message"), _MOST_MESSAGE)}
    if status == PARAMETER_MISSING:
        raise Permanent(f"{WHO} misses something in it.", code="PARAMETER_MISSING", evidence=evidence)
    kind = OutcomeUnknown if changes else Transient
    doubt = ", which proves nothing" if changes else ""
    raise kind(f"{WHO} met an error (status {status}){doubt}.", code=f"KWIK_{status}", evidence=evidence)


def _without_envelope(reply: HttpReply, *, changes: bool) -> GatewayError:
    """Something before Kwik has answered, or Kwik nonsense. A send without a key is in doubt after any 5xx, 503 too."""
    evidence = {"httpStatus": reply.status}
    if changes and (reply.status >= 500 or reply.status < 400 or reply.status == 409):
        return OutcomeUnknown(
            f"{WHO} answered HTTP {reply.status} without a word of its own, which proves nothing.",
            code="MALFORMED_REPLY" if reply.status < 400 else f"HTTP_{reply.status}",
            evidence=evidence,
        )
    if reply.status < 400:
        return Transient(f"{WHO}'s answer makes no sense.", code="MALFORMED_REPLY", evidence=evidence)
    return classify_send(reply, who=WHO) if changes else classify_read(reply)
