"""Settings with which patients' addresses would go in clear text, or a webhook could be forged, are refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from dispatchlog.settings import Settings

PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "database_url": "postgresql://db.example.org/dispatchlog",
    "redis_url": "redis://valkey.example.org",
    "secret_key": SecretStr("x" * 32),
    "public_url": "https://desk.example.org",
}
SENDGRID: dict[str, Any] = {"outreach_email": "sendgrid", "sendgrid_api_key": SecretStr("key")}
CLOUD: dict[str, Any] = {
    "outreach_whatsapp": "cloud",
    "whatsapp_token": SecretStr("token"),
    "whatsapp_phone_number_id": "1",
}
HEARS: dict[str, Any] = {
    "sendgrid_webhook_key": "key",
    "whatsapp_app_secret": SecretStr("secret"),
    "whatsapp_verify_token": SecretStr("word"),
}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"courier_url": "ftp://courier.example.org"}, "must begin with https:// or http://"),
        (
            {**PRODUCTION, "courier_url": "http://courier.example.org"},
            "DISPATCHLOG_COURIER_URL must begin with https://",
        ),
        ({**PRODUCTION, "kwik_url": "http://api.kwik.example.org"}, "DISPATCHLOG_KWIK_URL must begin with https://"),
        ({**PRODUCTION, "courier_webhook_secret": SecretStr(f"{'x' * 16},short")}, "16 characters or more"),
        ({**PRODUCTION, "comm_webhook_secret": SecretStr("short")}, "DISPATCHLOG_COMM_WEBHOOK_SECRET needs 16"),
        *(
            ({**PRODUCTION, f"{name}_url": "http://api.example.org"}, f"DISPATCHLOG_{name.upper()}_URL must begin with")
            for name in ("sendgrid", "twilio", "whatsapp")
        ),
        ({**PRODUCTION, "public_url": "http://desk.example.org"}, "DISPATCHLOG_PUBLIC_URL must begin with https://"),
        ({**PRODUCTION, "smtp_url": "smtp://mail.example.org?tls=none"}, "in clear text"),
        ({**PRODUCTION, "smtp_url": "smtp://u:p@127.0.0.1?tls=none"}, "in clear text"),
        ({**PRODUCTION, **SENDGRID}, "OUTREACH_EMAIL=sendgrid needs DISPATCHLOG_SENDGRID_WEBHOOK_KEY"),
        (
            {**PRODUCTION, **CLOUD},
            "=cloud needs DISPATCHLOG_WHATSAPP_APP_SECRET, DISPATCHLOG_WHATSAPP_VERIFY_TOKEN",
        ),
        *(
            ({**PRODUCTION, **CLOUD, **HEARS, name: "http://desk.example.org"}, "patients' answers come there")
            for name in ("public_url", "webhook_url")
        ),
    ],
)
def test_a_setting_that_would_give_patients_away_is_refused_in_words(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(**given)


def test_a_courier_by_https_or_on_this_machine_is_taken() -> None:
    secrets = SecretStr(f"{'x' * 16}, {'y' * 16}")
    taken = Settings(**PRODUCTION, courier_url="https://courier.example.org/v1", courier_webhook_secret=secrets)
    assert taken.courier_url == "https://courier.example.org/v1"
    assert Settings(**PRODUCTION, courier_url="http://127.0.0.1:9100/courier").courier_url


def test_production_on_this_machine_may_do_without_tls() -> None:
    here = {"public_url": "http://127.0.0.1:8000", "smtp_url": "smtp://127.0.0.1:25?tls=none"}
    assert Settings(**{**PRODUCTION, **here}).smtp_url == here["smtp_url"]
    assert Settings(**PRODUCTION, smtp_url="smtp://mail.example.org?tls=starttls").smtp_url


def test_who_writes_to_patients_and_hears_them_is_taken_and_while_developing_also_who_hears_nothing() -> None:
    taken = Settings(**PRODUCTION, **SENDGRID, **CLOUD, **HEARS)
    assert (taken.outreach_email, taken.outreach_whatsapp) == ("sendgrid", "cloud")
    assert Settings(**SENDGRID, **CLOUD, twilio_url="http://127.0.0.1:9100", public_url="http://desk.example.org")
