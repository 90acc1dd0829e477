"""The stand-in for Twilio, SendGrid and WhatsApp as `dispatchlog up` brings it along."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Gateway
from dispatchlog.gateways import provider_signatures
from dispatchlog.gateways.outreach_sandbox_script import Script
from dispatchlog.gateways.sendgrid import SendGridGateway
from dispatchlog.gateways.twilio import TwilioGateway
from dispatchlog.gateways.whatsapp_cloud import WhatsAppCloudGateway
from dispatchlog.local import outreach_sandbox_at
from dispatchlog.local.outreach_sample import PATIENTS
from dispatchlog.local.outreach_sandbox_at import OutreachSandboxAt, is_wanted, usual_script
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.reply_parser import read_reply
from dispatchlog.systems.outreach.standard_words import SENTENCES
from dispatchlog.systems.outreach.states import Intent
from tests.gateways.rigs import text_parcel


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("DISPATCHLOG_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_all_three_let_in_whoever_has_its_settings_and_its_process_shows_what_went_out(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    at = OutreachSandboxAt.of(tmp_path)
    for name, value in at.settings(Settings()).items():
        bare.setenv(name, value)
    settings = Settings()
    assert (settings.outreach_sms, settings.outreach_whatsapp, settings.outreach_email) == ("twilio", "cloud", "smtp")
    token, key = settings.twilio_auth_token.get_secret_value(), settings.sendgrid_api_key.get_secret_value()
    gateways: dict[str, Gateway] = {
        "twilio": TwilioGateway(settings.twilio_url, settings.twilio_account_sid, token),
        "sendgrid": SendGridGateway(settings.sendgrid_url, key),
        "whatsapp": WhatsAppCloudGateway(
            settings.whatsapp_url, settings.whatsapp_token.get_secret_value(), settings.whatsapp_phone_number_id
        ),
    }
    process = subprocess.Popen(at.command(settings), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"port": at.port}
        for provider, gateway in gateways.items():
            gateway.send(text_parcel(provider, uuid4()), deadline=Deadline(30), before_write=lambda: None)
            gateway.close()
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert {line.split()[0] for line in output.splitlines()} == set(gateways)


@pytest.mark.usefixtures("bare")
def test_it_is_where_it_was_and_its_key_signs_what_the_settings_verify(tmp_path: Path) -> None:
    first = OutreachSandboxAt.of(tmp_path)
    first.script.write_text('{"usual": {"ends": "sent"}}')
    again = OutreachSandboxAt.of(tmp_path)
    assert again == first
    assert again.script.read_text() == '{"usual": {"ends": "sent"}}'
    assert again.sendgrid_key_file.stat().st_mode & 0o077 == 0
    public = again.settings(Settings())["DISPATCHLOG_SENDGRID_WEBHOOK_KEY"]
    signed = provider_signatures.sign_sendgrid(again.sendgrid_key_file.read_text(), "1", b"[]")
    assert provider_signatures.verify_sendgrid(public, "1", b"[]", signed)


def test_by_the_usual_script_the_sample_s_patients_answer_and_others_confirm_in_their_language() -> None:
    script = Script()
    script.load(usual_script())
    for patient in PATIENTS:
        said = script.reply(patient.number, "Sample Clinic: 3 March 10:30. Reply 1 to confirm.")
        assert (said.answer if said else "") == patient.answer
    for language, words in SENTENCES.items():
        rule = script.reply("+12025550123", f"Sample Clinic: 3 March 10:30.\n{words.answer}\nSTOP")
        assert rule is not None
        assert read_reply(rule.answer, asks="confirmation", language=language).intent is Intent.CONFIRM
    assert script.reply("+12025550123", "See you on 3 March at 10:30.") is None


@pytest.mark.parametrize("name", outreach_sandbox_at.NAMING)
def test_a_setting_that_names_one_of_its_providers_leaves_it_out(name: str) -> None:
    assert is_wanted({"DISPATCHLOG_OUTREACH_MAIL_FROM", "DISPATCHLOG_OUTREACH_EMAIL"})
    assert not is_wanted({f"DISPATCHLOG_{name}"})
