"""Alerts of webhooks: a provider that tells nothing, signatures that do not fit, and what is stored and not looked at."""

from __future__ import annotations

from dispatchlog.alerts import PROVIDER_SILENT, UNTAKEN, WEBHOOKS_REFUSED, look
from dispatchlog.engine.database import connected
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import events, inbound
from dispatchlog.systems.outreach.inbound import Message
from dispatchlog.systems.outreach.refusals import Refusals
from dispatchlog.systems.outreach.states import Channel
from tests.engine.lane import owner
from tests.outreach import builders
from tests.outreach.conftest import Desk
from tests.outreach.reported import job, store, tell


def alerts(settings: Settings, kind: str) -> dict[str, str]:
    """What is told of one kind, by subject."""
    with connected():
        seen = look(settings, [], {}, up_seconds=0)
    assert kind in seen.kinds
    return {each.subject: each.summary for each in seen.conditions if each.kind == kind}


def test_a_provider_that_told_nothing_of_what_it_took_has_fallen_silent(desk: Desk, settings_env: Settings) -> None:
    patient = builders.patient()
    assert alerts(settings_env, PROVIDER_SILENT) == {}
    job(desk.lane, patient, "twilio", end="SENT")
    assert alerts(settings_env, PROVIDER_SILENT) == {}
    for provider in ("twilio", "twilio", "whatsapp"):
        job(desk.lane, patient, provider, end="SENT BEFORE")
    found = alerts(settings_env, PROVIDER_SILENT)
    assert set(found) == {"twilio", "whatsapp"}
    assert "2 messages over 60 min ago" in found["twilio"]
    store(tell("sent", provider="twilio"))
    assert set(alerts(settings_env, PROVIDER_SILENT)) == {"whatsapp"}
    off = settings_env.model_copy(update={"outreach_silence_seconds": 0})
    assert alerts(off, PROVIDER_SILENT) == {}


def test_mail_by_smtp_is_told_of_by_nobody_and_missed_by_nobody(desk: Desk, settings_env: Settings) -> None:
    job(desk.lane, builders.patient(), "sendgrid", end="SENT BEFORE", route="email-smtp")
    assert alerts(settings_env, PROVIDER_SILENT) == {}


def test_signatures_that_do_not_fit_are_counted_in_a_row(application: Settings) -> None:
    here, elsewhere = (Refusals(application.effective_redis_url) for _ in range(2))
    for _ in range(application.alert_webhooks_refused - 1):
        here.refused("twilio")
    assert alerts(application, WEBHOOKS_REFUSED) == {}
    elsewhere.refused("twilio")
    assert list(alerts(application, WEBHOOKS_REFUSED)) == ["twilio"]
    elsewhere.accepted("whatsapp")
    assert list(alerts(application, WEBHOOKS_REFUSED)) == ["twilio"]
    elsewhere.accepted("twilio")
    assert alerts(application, WEBHOOKS_REFUSED) == {}


def test_without_redis_nothing_is_said_of_refusals(application: Settings) -> None:
    without = application.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with connected():
        assert WEBHOOKS_REFUSED not in look(without, [], {}, up_seconds=0).kinds


def test_what_is_stored_and_not_looked_at_is_told_of(desk: Desk, settings_env: Settings) -> None:
    store(tell("sent"))
    message = Message("twilio", "SM1", Channel.SMS, builders.PHONE, "+12025550100", "yes")
    inbound.store_messages([message], source="native", trace_id="t")
    assert alerts(settings_env, UNTAKEN) == {}
    with owner(settings_env.database_url) as cursor:
        cursor.execute("UPDATE comm_events SET received_at = now() - interval '10 minutes'")
        cursor.execute("UPDATE comm_inbound SET created_at = now() - interval '20 minutes'")
    found = alerts(settings_env, UNTAKEN)
    assert found["events"] == "The oldest of what providers told has waited for 10 min to be looked at."
    assert found["answers"] == "The oldest of what patients wrote has waited for 20 min to be looked at."
    events.apply_all()
    assert set(alerts(settings_env, UNTAKEN)) == {"answers"}
