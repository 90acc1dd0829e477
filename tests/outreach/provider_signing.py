"""Owns the secrets of providers in tests, and requests as they sign them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from dispatchlog.gateways import courier_signature, provider_signatures
from dispatchlog.settings import Settings

TWILIO_TOKEN = "twilio's token of tests"
APP_SECRET = "whatsapp's secret of tests"
VERIFY_TOKEN = "agreed with Meta"
COMM_SECRETS = "the new secret of tests", "the old secret of tests"
SENDGRID_KEY = provider_signatures.new_sendgrid_key()
AT = "https://hooks.example.org/clinic"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"

Signed = tuple[bytes, dict[str, str]]


def with_providers(settings: Settings, **changes: Any) -> Settings:
    """The settings of somebody who has all of them, behind a proxy."""
    known = {
        "twilio_auth_token": SecretStr(TWILIO_TOKEN),
        "sendgrid_webhook_key": provider_signatures.sendgrid_public_key(SENDGRID_KEY),
        "whatsapp_app_secret": SecretStr(APP_SECRET),
        "whatsapp_verify_token": SecretStr(VERIFY_TOKEN),
        "comm_webhook_secret": SecretStr(", ".join(COMM_SECRETS)),
        "webhook_url": AT,
    }
    return settings.model_copy(update={**known, **changes})


def twilio(path: str, fields: Mapping[str, str], *, signed_for: str | None = None) -> Signed:
    """A form that Twilio sends to this path."""
    signature = provider_signatures.sign_twilio(TWILIO_TOKEN, f"{AT}{signed_for or path}", fields)
    return urlencode(fields).encode(), {"Content-Type": FORM, provider_signatures.TWILIO_HEADER: signature}


def sendgrid(said: Any, *, age_seconds: float = 0.0) -> Signed:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    timestamp = str(int(time.time() - age_seconds))
    return body, {
        "Content-Type": JSON,
        provider_signatures.SENDGRID_HEADER: provider_signatures.sign_sendgrid(SENDGRID_KEY, timestamp, body),
        provider_signatures.SENDGRID_TIMESTAMP_HEADER: timestamp,
    }


def whatsapp(said: Any) -> Signed:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    signature = provider_signatures.sign_whatsapp(APP_SECRET, body)
    return body, {"Content-Type": JSON, provider_signatures.WHATSAPP_HEADER: signature}


def generic(said: Any, *, age_seconds: float = 0.0, secret: str = COMM_SECRETS[0]) -> Signed:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    signature = courier_signature.sign([secret], body, at=int(time.time() - age_seconds))
    return body, {"Content-Type": JSON, "Comm-Signature": signature}
