"""The test exchange: a process of its own that is scripted, counts effects and duplicates, and forgets none of them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Permanent, Transient
from dispatchlog.engine.gateway import Parcel, Receipt
from dispatchlog.gateways.hl7 import open_gateway
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint
from dispatchlog.gateways.hl7_exchange_script import Script

from .hl7_rigs import https_endpoint, mllp_endpoint
from .rigs import sha256, visit
from .servers import LOOPBACK

_MODULE = [sys.executable, "-m", "dispatchlog.gateways.hl7_exchange"]
_COMMAND = [sys.executable, "-m", "dispatchlog.cli", "hl7", "listen"]


@contextmanager
def exchange(
    *options: str | Path, command: list[str] = _MODULE
) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    arguments = [*command, "--port", "0", "--http-port", "0", *map(str, options)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def send(endpoint: Hl7Endpoint, parcel: Parcel) -> Receipt:
    gateway = open_gateway(endpoint)
    try:
        return gateway.send(parcel, deadline=Deadline(5), before_write=lambda: None)
    finally:
        gateway.close()


def ask(port: int, path: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", data=data) as reply:
        return json.loads(reply.read())


@pytest.mark.parametrize("command", [_MODULE, _COMMAND], ids=["module", "cli"])
def test_the_command_takes_messages_on_both_ports_and_tells_of_each_without_patient_data(command: list[str]) -> None:
    with exchange(command=command) as (process, ports):
        first, second = visit(uuid4(), patient="S-4711"), visit(uuid4())
        send(mllp_endpoint(ports["port"]), first)
        send(https_endpoint(ports["http_port"]), second)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(2)]
        assert [json.loads(line)["sha256"] for line in told] == [sha256(first), sha256(second)]
        assert "S-4711" not in told[0]
        assert process.poll() is None
    assert process.returncode == 0


def test_a_resend_is_counted_and_has_no_second_effect_not_even_after_a_crash(tmp_path: Path) -> None:
    parcel = visit(uuid4())
    ledger = tmp_path / "ledger.jsonl"
    with exchange("--ledger", ledger) as (process, ports):
        for _ in range(2):
            send(mllp_endpoint(ports["port"]), parcel)
        counts = ask(ports["http_port"], "/received")
        assert (counts["received"], counts["effects"], counts["duplicates"]) == (2, 1, 1)
        process.kill()
        process.wait(10)
    with exchange("--ledger", ledger) as (_, ports):
        send(mllp_endpoint(ports["port"]), parcel)
        assert ask(ports["http_port"], "/received")["duplicates"] == 1
    assert len(ledger.read_text().splitlines()) == 1


def test_an_exchange_that_does_not_dedupe_takes_it_twice() -> None:
    parcel = visit(uuid4())
    with exchange("--no-dedupe") as (_, ports):
        for _ in range(2):
            send(mllp_endpoint(ports["port"]), parcel)
        assert ask(ports["http_port"], "/received")["effects"] == 2


def test_answers_go_by_patient_by_control_id_and_by_turn() -> None:
    with exchange() as (_, ports):
        named = visit(uuid4())
        rules = [
            {"patient": "S-9", "answer": {"code": "AE", "error": "101"}},
            {"control_id": named.idempotency_key, "answer": {"code": "AR"}},
        ]
        ask(ports["http_port"], "/script", {"rules": rules, "answers": [{"code": "AE", "error": "207"}]})
        endpoint = mllp_endpoint(ports["port"])
        with pytest.raises(Permanent):
            send(endpoint, visit(uuid4(), patient="S-9"))
        with pytest.raises(Transient) as rejected:
            send(endpoint, named)
        assert rejected.value.code == "ACK_AR"
        with pytest.raises(Transient) as error:
            send(endpoint, visit(uuid4()))
        assert error.value.code == "ACK_AE_207"
        send(endpoint, visit(uuid4()))
        with pytest.raises(urllib.error.HTTPError):
            ask(ports["http_port"], "/script", {"rules": [{"who": "S-9"}]})


@pytest.mark.parametrize(
    "script",
    [{"answer": []}, {"answers": [{"way": "sideways"}]}, {"answers": [{"speed": 1}]}, {"rules": [{"who": "S-1"}]}],
)
def test_a_script_with_a_mistake_is_refused_whole(script: dict[str, Any]) -> None:
    loaded = Script()
    loaded.load({"standing": {"code": "AR"}})
    with pytest.raises(ValueError, match=r"knows only|is one of"):
        loaded.load({"standing": {"code": "AE"}, **script})
    assert loaded.next("ID", "S-1").code == "AR"
