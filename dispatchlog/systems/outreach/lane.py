"""The lane `comm_job`: a stored text, by the provider of its channel. Owns the routes; decides and renders nothing."""

from __future__ import annotations

from dispatchlog.engine.lanes import Lane
from dispatchlog.systems.outreach.states import Channel

LANE = "comm_job"
SUBJECT = "patient:"


def comm_job_lane() -> Lane:
    """Lane `comm_job`: a route per provider, retries after 1, 2, 4, 8 and 16 s, consent and hours asked before each send."""
    raise NotImplementedError


def route_of(channel: Channel) -> str:
    """The name of the route by which a channel's messages leave now: "email-smtp", "email-sendgrid", "sms-twilio",
    "whatsapp-cloud", "whatsapp-twilio"; "" where the channel is not configured."""
    raise NotImplementedError
