"""A message goes out to the sandbox of its provider and what becomes of it comes back, by real sockets, late and twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from dashboard import create_app
from dispatchlog.broker import get_waker
from dispatchlog.engine import delivery
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.outreach_sandbox import ACCOUNT_SID, PHONE_NUMBER_ID, Options, Sandbox
from dispatchlog.gateways.provider_signatures import new_sendgrid_key, sendgrid_public_key
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import events
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard.browsing import served
from tests.engine.processes import until
from tests.outreach import builders
from tests.outreach.reported import heard
from tests.ports import free_port

SECRET = "known to the provider and to us"


@dataclass
class Round:
    runtime: Runtime
    sandbox: Sandbox

    def drain(self) -> None:
        delivery.drain(registry.lane("comm_job"), self.runtime)


class Entrance:
    """The dashboard, which can only be made when its address is known."""

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.fixture
def there_and_back(application: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Round]:
    """The dashboard's door and the providers' sandbox, each at an address that the other knows."""
    key, port = new_sendgrid_key(), free_port()
    entrance = Entrance()
    with served(entrance) as door:
        entrance.app = create_app(
            application.model_copy(
                update={
                    "twilio_auth_token": SecretStr(SECRET),
                    "whatsapp_app_secret": SecretStr(SECRET),
                    "sendgrid_webhook_key": sendgrid_public_key(key),
                    "webhook_url": door,
                }
            )
        )
        sandbox = Sandbox(
            Options(
                port=port,
                webhook_url=door,
                twilio_auth_token=SECRET,
                sendgrid_api_key=SECRET,
                sendgrid_signing_key=key,
                whatsapp_token=SECRET,
                whatsapp_app_secret=SECRET,
            )
        )
        known = {
            "WEBHOOK_URL": door,
            "OUTREACH_EMAIL": "sendgrid",
            "OUTREACH_SMS": "twilio",
            "OUTREACH_WHATSAPP": "cloud",
            "SENDGRID_URL": f"http://127.0.0.1:{port}/sendgrid",
            "SENDGRID_API_KEY": SECRET,
            "TWILIO_URL": f"http://127.0.0.1:{port}/twilio",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": SECRET,
            "TWILIO_FROM": "+12025550100",
            "WHATSAPP_URL": f"http://127.0.0.1:{port}/whatsapp/v25.0",
            "WHATSAPP_TOKEN": SECRET,
            "WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
        }
        for name, value in known.items():
            monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
        get_settings.cache_clear()
        registry.forget()
        presence = Presence(application.database_url, role=application.application_role)
        presence.open()
        yield Round(Runtime(presence, get_waker(), Breaker(application.effective_redis_url)), sandbox)
        presence.close()
        for gateway in registry.lane("comm_job").gateways():
            gateway.close()
        sandbox.close()


@pytest.mark.parametrize(
    ("channel", "route", "word"),
    [
        (Channel.SMS, "sms-twilio", "delivered_at"),
        (Channel.EMAIL, "email-sendgrid", "opened_at"),
        (Channel.WHATSAPP, "whatsapp-cloud", "opened_at"),
    ],
)
def test_a_message_is_known_to_have_arrived_though_its_statuses_come_twice_and_in_another_order(
    there_and_back: Round, channel: Channel, route: str, word: str
) -> None:
    usual = {"ends": "read", "step_seconds": 0.01, "copies": 2, "swapped": True}
    there_and_back.sandbox.script.load({"usual": usual})
    patient = builders.patient()
    template = {"name": "reminder", "language": "en", "parameters": []} if channel is Channel.WHATSAPP else {}
    job = builders.job(
        registry.lane("comm_job"), patient, channel, route=route, is_urgent=True, provider_template=json.dumps(template)
    )
    builders.says(patient, allow_whatsapp=True)
    there_and_back.drain()
    assert heard(job)["status"] == "SENT"

    def arrived() -> bool:
        events.apply_all()
        return heard(job)[word] is not None and heard(job)["delivered_at"] is not None

    until(arrived, what="the provider's webhooks")
    assert builders.rows("SELECT DISTINCT job_id FROM comm_events") == [{"job_id": job}]


def test_a_patients_answer_comes_back(there_and_back: Round) -> None:
    usual = {"step_seconds": 0.01}
    there_and_back.sandbox.script.load(
        {"usual": usual, "replies": [{"answer": "SÍ", "to": builders.PHONE, "after_seconds": 0.01}]}
    )
    builders.job(registry.lane("comm_job"), builders.patient(), Channel.SMS, is_urgent=True)
    there_and_back.drain()
    until(lambda: builders.rows("SELECT * FROM comm_inbound"), what="the answer")
    (answer,) = builders.rows("SELECT * FROM comm_inbound")
    assert (answer["provider"], answer["from_address"], answer["body"]) == ("twilio", builders.PHONE, "SÍ")
