"""Owns handing one message to Twilio, as SMS or by WhatsApp, and asking whether it has it; never resends it.

Twilio takes no key (twilio.com/docs/messaging/api/message-resource), and its list gives back no word of ours. So a message
is recognised by number, time and text; where two are alike, or the text is Twilio's own template, only a person can tell,
or the status webhook, whose address names the job. A text that Twilio is set not to keep proves nothing; numbers it must
keep: one that it hides (twilio.com/docs/messaging/guides/privacy-message-redaction) would seem to have got nothing.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Transient
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier_words import reference, text
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply
from dispatchlog.gateways.outreach_codes import twilio_meaning
from dispatchlog.gateways.outreach_replies import field_of, malformed, refusal
from dispatchlog.gateways.trace_headers import trace_headers

WHO = "Twilio"
_PAGE = 100
_MOST_PAGES = 20


class TwilioGateway:
    """Sends `Parcel.body`, the form fields that `compose_twilio` made, as it is.

    Args:
        base_url: https://api.twilio.com, or what stands in for it.
        name: the route's, so that SMS and WhatsApp have a breaker each.
    """

    kind = GatewayKind.LOOKUP
    key_retention: timedelta | None = None
    # Its list is no promise; what it took shows within seconds, and nobody is hurt by two minutes more of doubt.
    indexing_delay = timedelta(minutes=2)

    def __init__(
        self,
        base_url: str,
        account_sid: str,
        auth_token: str,
        *,
        name: str = "sms-twilio",
        deadline_seconds: float = 15.0,
        ca_file: Path | None = None,
    ) -> None:
        self.name = name
        self.deadline_seconds = deadline_seconds
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
        self._path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._http = HttpClient(base_url, ca_file=ca_file)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """Twilio's message, with its SID.

        Raises:
            Transient: not taken, may pass: unreachable, busy (429 and TWILIO_20429, 21611, 30001, 63018), UNAUTHORISED.
            Permanent: not taken: OPTED_OUT (21610), WINDOW_CLOSED (63016), TWILIO_<code>.
            OutcomeUnknown: any 5xx, no or a malformed answer.
        """
        reply = self._http.request(
            "POST",
            self._path,
            headers={**self._headers, "Content-Type": parcel.content_type, **trace_headers(parcel.trace_id)},
            content=parcel.body,
            deadline=deadline,
            before_write=before_write,
        )
        if reply.status in (200, 201):
            return _receipt(reply)
        document = reply.json()
        code = field_of(document, "code")
        code = code if isinstance(code, int) and not isinstance(code, bool) else None
        raise refusal(reply, who=WHO, code=code, message=field_of(document, "message"), meaning=twilio_meaning(code))

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        """Whether Twilio has a message with this number and text since then.

        The number's whole list is read: a question by sending date would overlook what still waits at Twilio, ours or an
        equal one.

        Raises:
            Transient: it could not be asked; Permanent: the question is refused.
        """
        fields = dict(parse_qsl(parcel.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            every = list(self._messages({"To": fields.get("To", "")}, deadline))
        except _TooManyError as error:
            return LookUp(LookUpAnswer.UNSURE, evidence={"why": str(error)})
        return _judged([each for each in every if _is_since(each, since)], fields.get("Body"))

    def _messages(self, query: Mapping[str, str], deadline: Deadline) -> Iterator[Mapping[str, Any]]:
        target: str | None = f"{self._path}?{urlencode({**query, 'PageSize': str(_PAGE)})}"
        for _ in range(_MOST_PAGES):
            if target is None:
                return
            page = self._http.get_json(target, headers=self._headers, deadline=deadline)
            messages = field_of(page, "messages")
            if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
                raise Transient(f"{WHO}'s list makes no sense.", code="MALFORMED_REPLY")
            yield from messages
            following = field_of(page, "next_page_uri")
            target = following if isinstance(following, str) and following.startswith("/") else None
        if target is not None:
            raise _TooManyError("the number's list is too long")

    def close(self) -> None:
        self._http.close()


class _TooManyError(Exception):
    """The list was not read to its end."""


def _receipt(reply: HttpReply) -> Receipt:
    document = reply.json()
    sid = reference(field_of(document, "sid"))
    if sid is None:
        raise malformed(reply, who=WHO)
    evidence = {"status": reply.status, "sid": sid, "twilioStatus": text(field_of(document, "status"), 32)}
    return Receipt(sid, evidence)


def _judged(messages: list[Mapping[str, Any]], body: str | None) -> LookUp:
    """Which of these, all to our number, is ours. A text that Twilio made of its template cannot be compared."""
    outgoing = [each for each in messages if str(each.get("direction", "outbound-api")).startswith("outbound")]
    seen = {"seen": len(outgoing)}
    if not outgoing:
        return LookUp(LookUpAnswer.ABSENT, evidence=seen)
    if body is None:
        return LookUp(LookUpAnswer.UNSURE, evidence={**seen, "why": "a template's text cannot be compared"})
    if not all(str(each.get("body") or "").strip() for each in outgoing):
        return LookUp(LookUpAnswer.UNSURE, evidence={**seen, "why": "Twilio does not keep the texts"})
    found = [each for each in outgoing if _is_ours(str(each.get("body") or ""), body)]
    if len(found) > 1:
        return LookUp(LookUpAnswer.UNSURE, evidence={**seen, "why": f"{len(found)} messages have this text"})
    sid = reference(found[0].get("sid")) if found else None
    if found and sid is not None:
        evidence = {**seen, "twilioStatus": text(found[0].get("status"), 32)}
        return LookUp(LookUpAnswer.FOUND, sid, evidence=evidence, by_likeness=True)
    return LookUp(LookUpAnswer.UNSURE if found else LookUpAnswer.ABSENT, evidence=seen)


def _is_ours(theirs: str, ours: str) -> bool:
    """Twilio replaces fancy characters where that saves a segment, and a trial account's texts get a preface."""
    plain = _plain(ours)
    return plain in _plain(theirs) if plain else ours.strip() in theirs


def _plain(said: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", said).casefold() if each.isalnum())


def _is_since(message: Mapping[str, Any], since: datetime) -> bool:
    """Whether it was made since then; one without a readable date may have been."""
    try:
        return parsedate_to_datetime(str(message.get("date_created"))) >= since
    except (ValueError, TypeError):
        return True
