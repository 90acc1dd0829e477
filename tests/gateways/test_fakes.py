"""The fakes: the scripted one in memory, and the provider's process with its ledger."""

from __future__ import annotations

import json
import smtplib
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.fake import FakeGateway, Outcome, Play
from dispatchlog.gateways.kit_registry import HttpKitRegistry

from .rigs import letter, registration
from .servers import Provider


def send(gateway: FakeGateway | HttpKitRegistry, parcel: Parcel) -> Receipt:
    return gateway.send(parcel, deadline=Deadline(3), before_write=lambda: None)


def test_the_fake_plays_its_script_in_order_and_then_accepts() -> None:
    fake = FakeGateway()
    fake.script(Outcome.TRANSIENT, Play(Outcome.PERMANENT, code="NO"), Outcome.UNKNOWN_AFTER_ACCEPT)
    parcel = registration(uuid4())
    for kind in (Transient, Permanent, OutcomeUnknown):
        with pytest.raises(kind):
            send(fake, parcel)
    assert send(fake, parcel).provider_message_id == "fake-1"
    assert (fake.sends, len(fake.accepted)) == (4, 1)


def test_the_idempotent_fake_refuses_other_bytes_under_the_same_key() -> None:
    fake, parcel = FakeGateway(), registration(uuid4())
    send(fake, parcel)
    with pytest.raises(Permanent) as reused:
        send(fake, replace(parcel, body=b"other"))
    assert reused.value.code == "KEY_REUSED"


def test_a_crash_hook_runs_after_acceptance_and_before_the_caller_knows() -> None:
    fake, parcel = FakeGateway(GatewayKind.BLIND), registration(uuid4())

    def crash() -> None:
        assert len(fake.accepted) == 1
        raise SystemExit(9)

    fake.script(Play(crash=crash))
    with pytest.raises(SystemExit):
        send(fake, parcel)
    assert len(fake.accepted_for(parcel.dispatch_id)) == 1


def test_a_look_up_sees_an_acceptance_only_after_the_indexing_delay_and_can_be_scripted() -> None:
    fake, parcel = FakeGateway(GatewayKind.LOOKUP, indexing_delay=timedelta(hours=1)), registration(uuid4())
    send(fake, parcel)
    fake.script_look_ups(LookUpAnswer.FOUND, LookUpAnswer.UNSURE)
    since = datetime.now(UTC) - timedelta(minutes=1)
    answers = [fake.look_up(parcel, since=since, deadline=Deadline(1)).answer for _ in range(3)]
    assert answers == [LookUpAnswer.FOUND, LookUpAnswer.UNSURE, LookUpAnswer.ABSENT]


def test_the_provider_remembers_its_keys_after_kill_9_and_ignores_a_torn_last_line(tmp_path: Path) -> None:
    ledger, parcel = tmp_path / "ledger.jsonl", registration(uuid4())
    first = Provider(ledger)
    registry = HttpKitRegistry(first.http_url, "", key_retention_seconds=60)
    receipt = send(registry, parcel)
    registry.close()
    first.kill()
    with ledger.open("a") as file:
        file.write('{"channel": "registr')
    second = Provider(ledger)
    registry = HttpKitRegistry(second.http_url, "", key_retention_seconds=60)
    assert send(registry, parcel) == replace(receipt, evidence={**receipt.evidence, "status": 200})
    send(registry, registration(uuid4()))
    registry.close()
    second.close()
    assert len(ledger.read_text().splitlines()) == 2


def call(url: str, document: dict[str, Any] | None = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(url, data=data) as reply:  # noqa: S310  (our own child)
        return json.loads(reply.read())


def test_the_providers_messages_are_taken_twice_and_found_by_reference(provider: Provider) -> None:
    for _ in range(2):
        call(f"{provider.http_url}/messages", {"clientRef": "ref-1", "to": "+1"})
    found = call(f"{provider.http_url}/messages?client_ref=ref-1")["messages"]
    assert [entry["clientRef"] for entry in found] == ["ref-1", "ref-1"]
    assert call(f"{provider.http_url}/messages?client_ref=other")["messages"] == []
    assert [entry["recipient"] for entry in provider.ledger("ref-1")] == ["+1", "+1"]
    assert len(call(f"{provider.http_url}/ledger")) >= 2


def test_the_provider_takes_mail_from_any_client_and_plays_at_every_stage(provider: Provider) -> None:
    parcel = letter(uuid4())
    port = int(provider.smtp_url.rpartition(":")[2].partition("?")[0])
    provider.script("smtp.rcpt", {"do": "status", "status": 550, "body": "nobody"}, {"do": "accept"})
    with smtplib.SMTP("127.0.0.1", port) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@clinic.test", ["b@home.test"], parcel.body)
        client.sendmail("a@clinic.test", ["b@home.test"], parcel.body)
    assert [entry["recipient"] for entry in provider.ledger(f"{parcel.dispatch_id}@dispatchlog.test")] == [
        "b@home.test"
    ]
