"""Where the stand-in for Twilio, SendGrid and WhatsApp of this folder listens, and by what it goes. Starts no process."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispatchlog.gateways.outreach_sandbox import ACCOUNT_SID, PHONE_NUMBER_ID
from dispatchlog.gateways.provider_signatures import new_sendgrid_key, sendgrid_public_key
from dispatchlog.local import growth_sample
from dispatchlog.local.directory import choose_port, remember_secret, write_private
from dispatchlog.local.outreach_sample import NUMBERS, PATIENTS
from dispatchlog.settings import Settings

# A number of the range that is kept for fiction.
SMS_FROM = "+12025550199"
# A setting that names one of these providers leaves all of them to whoever set it.
NAMING = (
    "OUTREACH_SMS",
    "OUTREACH_WHATSAPP",
    "TWILIO_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "WHATSAPP_URL",
    "WHATSAPP_TOKEN",
    "SENDGRID_URL",
    "SENDGRID_API_KEY",
)


# How the standard texts ask for a confirmation, and what a patient says to it.
ANSWERS = {
    "Reply 1": "YES",
    "otra hora": "SÍ",
    "Répondez 1": "OUI",
    "para mudar": "SIM",
    "أرسل 1": "نعم",
    "1 = पुष्टि": "हाँ",
    "1 = bẹ́ẹ̀ni": "bẹ́ẹ̀ni",
    "YES": "YES",
}


def usual_script() -> dict[str, Any]:
    """Texts arrive and WhatsApp's are read. The sample's patients answer as they do; others confirm when asked to."""
    theirs = [{"to": patient.number, "answer": patient.answer} for patient in PATIENTS]
    others = [{"asks": asks, "answer": answer} for asks, answer in ANSWERS.items()]
    replies = [{**each, "after_seconds": 8} for each in (*theirs, *growth_sample.answers(), *others)]
    return {"usual": {"ends": "read"}, "numbers": NUMBERS, "replies": replies}


@dataclass(frozen=True, slots=True)
class OutreachSandboxAt:
    """Its port, script and secrets."""

    port: int
    script: Path
    sendgrid_key_file: Path
    secret: str = field(repr=False)

    @classmethod
    def of(cls, var: Path) -> OutreachSandboxAt:
        """The same port as the last time if it is free; a script that somebody changed stays as it is."""
        script, key = var / "outreach.json", var / "outreach_sendgrid.pem"
        if not script.exists():
            script.write_text(json.dumps(usual_script(), indent=2, ensure_ascii=False) + "\n")
        if not key.exists():
            write_private(key, new_sendgrid_key())
        return cls(choose_port(var / "outreach.port"), script, key, remember_secret(var / "outreach_secret"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, settings: Settings) -> dict[str, str]:
        """What makes it the provider of every process here; mail stays with the mailbox."""
        values = {
            "OUTREACH_SMS": "twilio",
            "OUTREACH_WHATSAPP": "cloud",
            "TWILIO_URL": f"{self.url}/twilio",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": self.secret,
            "TWILIO_FROM": SMS_FROM,
            "TWILIO_WHATSAPP_FROM": SMS_FROM,
            "SENDGRID_URL": f"{self.url}/sendgrid",
            "SENDGRID_API_KEY": self.secret,
            "SENDGRID_WEBHOOK_KEY": sendgrid_public_key(self.sendgrid_key_file.read_text()),
            "WHATSAPP_URL": f"{self.url}/whatsapp/v25.0",
            "WHATSAPP_TOKEN": self.secret,
            "WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "WHATSAPP_APP_SECRET": self.secret,
            "WHATSAPP_VERIFY_TOKEN": self.secret,
            "WEBHOOK_URL": _reached_at(settings),
        }
        return {f"DISPATCHLOG_{name}": value for name, value in values.items()}

    def command(self, settings: Settings) -> list[str]:
        """The sandbox's process; its secrets reach it by the environment."""
        module = [sys.executable, "-m", "dispatchlog.cli", "outreach", "sandbox", "--port", str(self.port)]
        files = ["--script", str(self.script), "--sendgrid-key-file", str(self.sendgrid_key_file)]
        return [*module, "--webhook-url", settings.effective_webhook_url, *files]


def is_wanted(given: Collection[str]) -> bool:
    """Whether none of the settings that are given (by their names in the environment) names one of its providers."""
    return not any(f"DISPATCHLOG_{name}" in given for name in NAMING)


def _reached_at(settings: Settings) -> str:
    host = "127.0.0.1" if settings.bind_host in ("0.0.0.0", "::") else settings.bind_host  # noqa: S104  (compared)  # nosec B104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
