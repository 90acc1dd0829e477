"""The lane `comm_job`: a stored text, by the provider of its channel. Owns the routes; decides and renders nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import CannotCompose, Transient
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.engine.lanes import Lane, Letter, Route, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.sendgrid import SendGridGateway
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.gateways.twilio import TwilioGateway
from dispatchlog.gateways.whatsapp_cloud import WhatsAppCloudGateway
from dispatchlog.row_content import COMM_JOBS, PAYLOADS
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.gate import may_leave
from dispatchlog.systems.outreach.letters import (
    readable_letter,
    sendgrid_letter,
    smtp_letter,
    twilio_letter,
    whatsapp_letter,
)
from dispatchlog.systems.outreach.states import Channel
from models import CommJob

LANE = "comm_job"
SUBJECT = "patient:"

# 1, 2, 4, 8 and 16 s, each a little more or less, then it has failed.
RETRY = RetryPolicy(max_attempts=6, first_delay_seconds=1, factor=2, longest_delay_seconds=16, jitter=0.2)
BATCH = 50
SLOTS = 4


def comm_job_lane() -> Lane:
    """Lane `comm_job`: a route per provider, retries after 1, 2, 4, 8 and 16 s, consent and hours asked for each."""
    return Lane(
        name=LANE,
        title="Messages to patients",
        model=CommJob,
        seal=PAYLOADS,
        row_seal=COMM_JOBS,
        build_gateway=AnyProvider,
        compose=compose,
        retry=RETRY,
        batch=BATCH,
        slots=SLOTS,
        routes=routes,
        in_turn=False,
        may_leave=may_leave,
        persons=persons,
        shown_recipient_column="recipient",
        says=readable_letter,
        audience="outreach",
    )


def route_of(channel: Channel) -> str:
    """The name of the route by which a channel's messages leave now: "email-smtp", "email-sendgrid", "sms-twilio",
    "whatsapp-cloud", "whatsapp-twilio"; "" where the channel is not configured."""
    settings = get_settings()
    provider = {
        Channel.EMAIL: settings.outreach_email,
        Channel.SMS: settings.outreach_sms,
        Channel.WHATSAPP: settings.outreach_whatsapp,
    }[channel]
    return f"{channel}-{provider}" if provider else ""


def routes() -> Mapping[str, Route]:
    """The routes in force by name."""
    rate = get_settings().outreach_rate_per_second
    return {
        name: Route(
            name,
            _gateway(name),
            retry=RETRY,
            batch=BATCH,
            rate_per_second=rate or None,
            burst=max(1, int(rate)),
        )
        for name in filter(None, map(route_of, Channel))
    }


def compose(row: Row) -> Letter:
    """What leaves: the stored text as the route's provider takes it.

    Raises:
        CannotCompose: NO_ROUTE where the provider is none that is known; and as the letters'.
    """
    writer = _LETTERS.get(row["route"])
    if writer is None:
        raise CannotCompose("There is no such way to send it.", code="NO_ROUTE")
    return writer(row)


def persons(row: Row, _body: bytes) -> list[str]:
    """Where it goes and everything that it says; its link opens the patient's own page, so that is hidden too."""
    texts = [row["recipient"], row["subject"], row["preferences_link"], *str(row["body"]).splitlines()]
    texts += [str(value) for value in row["variables"].values() if not isinstance(value, bool)]
    return [text for text in texts if text]


class AnyProvider:
    """Stands for all providers together, and for one that is not set up any more; nothing leaves by it."""

    name = "outreach"
    kind = GatewayKind.BLIND
    deadline_seconds = 20.0
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:  # noqa: ARG002
        """Never reached: what has no route in force is not claimed."""
        raise Transient("there is no provider for it", code="NO_ROUTE")

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Nothing is open."""


@lru_cache(maxsize=8)
def _smtp(url: str, deadline_seconds: float) -> Gateway:
    """One for all drains, as all of these: its connections are kept between them."""
    return SmtpGateway(url, deadline_seconds=deadline_seconds)


@lru_cache(maxsize=8)
def _sendgrid(url: str, key: str) -> Gateway:
    return SendGridGateway(url, key)


@lru_cache(maxsize=8)
def _twilio(name: str, url: str, account_sid: str, auth_token: str) -> Gateway:
    return TwilioGateway(url, account_sid, auth_token, name=name)


@lru_cache(maxsize=8)
def _whatsapp(url: str, token: str, phone_number_id: str) -> Gateway:
    return WhatsAppCloudGateway(url, token, phone_number_id)


def _gateway(name: str) -> Gateway:
    settings = get_settings()
    if name == "email-smtp":
        return _smtp(settings.smtp_url, settings.mail_deadline_seconds)
    if name == "email-sendgrid":
        return _sendgrid(settings.sendgrid_url, settings.sendgrid_api_key.get_secret_value())
    if name == "whatsapp-cloud":
        token = settings.whatsapp_token.get_secret_value()
        return _whatsapp(settings.whatsapp_url, token, settings.whatsapp_phone_number_id)
    token = settings.twilio_auth_token.get_secret_value()
    return _twilio(name, settings.twilio_url, settings.twilio_account_sid, token)


_LETTERS: Mapping[str, Callable[[Row], Letter]] = {
    "email-smtp": smtp_letter,
    "email-sendgrid": sendgrid_letter,
    "sms-twilio": twilio_letter,
    "whatsapp-twilio": twilio_letter,
    "whatsapp-cloud": whatsapp_letter,
}
