"""Schools and their endpoints: what is refused, what is kept, and trying one from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from dispatchlog.cli import main
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, fetch_one
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_servers import HttpSide, MllpSide
from dispatchlog.systems.hl7 import endpoint_test, school_settings, schools
from dispatchlog.systems.hl7.endpoints import SELECT, endpoint_of
from dispatchlog.systems.hl7.schools import SECRETS, SETTINGS, SchoolError
from tests.systems.conftest import Desk, desk, mail_server

__all__ = ["desk", "mail_server"]  # fixtures


@pytest.fixture
def side(desk: Desk) -> Iterator[MllpSide]:
    schools.add_school("SCH-01", "First school", actor="test")
    found = MllpSide(Exchange())
    yield found
    found.close()


def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(main, ["hl7", "school", *arguments], input=stdin)
    return result.exit_code, result.output


def stored(code: str = "SCH-01") -> dict[str, object]:
    with connected():
        return dict(fetch_dicts(f"{SELECT} WHERE s.code = %s", (code,))[0])


def test_every_setting_can_be_written_and_read_again(desk: Desk) -> None:
    schools.add_school("SCH-01", "First school", actor="test")
    row = stored()
    for name in SETTINGS:
        assert school_settings.read(name, school_settings.write(name, row[name])) == row[name], name
    for name in SECRETS:
        assert school_settings.read(name, "") == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "0"),
        ("port", "65536"),
        ("port", "²"),
        ("rate_per_second", "nan"),
        ("rate_per_second", "0"),
        ("deadline_seconds", "inf"),
        ("deadline_seconds", ""),
        ("tls", "perhaps"),
        ("host", "a\x00b"),
        ("host", "x" * 256),
        ("ca_pem", "no certificate"),
        ("ca_pem", "-----BEGIN PRIVATE KEY-----"),
        ("api_key", "línea"),
        ("acknowledgements", "AE RETRY\nAE FAILED"),
        ("messages", "UPDATE"),
    ],
)
def test_what_is_not_of_its_kind_is_refused_with_its_setting(name: str, text: str) -> None:
    with pytest.raises(SchoolError) as refused:
        school_settings.read(name, text)
    assert (refused.value.code, refused.value.field) == ("INVALID_SETTING", name)


def test_a_school_is_added_set_and_listed_from_a_shell(side: MllpSide) -> None:
    assert run("add", "SCH-02", "Second school")[0] == 0
    assert run("add", "SCH-02", "Second school")[1].startswith("error SCHOOL_EXISTS")
    port = f"port={side.port}"
    code, said = run("set", "SCH-01", "host=127.0.0.1", port, "tls=off", "acknowledgements=AE:207=RETRY", "enabled=on")
    assert (code, "version 2" in said) == (0, True)
    assert stored()["acknowledgements"] == {"AE:207": "RETRY"}
    assert run("list")[1].splitlines() == ["SCH-01  on   First school", "SCH-02  off  Second school"]


def test_a_secret_comes_from_standard_input_only_and_is_sealed(side: MllpSide) -> None:
    refused = run("set", "SCH-01", "api_key=s3cret")
    assert refused[0] == 1
    assert "SECRET_ON_COMMAND_LINE" in refused[1]
    assert "s3cret" not in refused[1]
    assert run("set", "SCH-01", "host=h", "--secret-from-stdin", "api_key", stdin="s3cret\n")[0] == 0
    row = stored()
    assert b"s3cret" not in bytes(row["api_key_sealed"])  # type: ignore[arg-type,call-overload]
    assert endpoint_of(row).api_key == "s3cret"
    with connected():
        assert not [text for (text,) in fetch_all("SELECT detail::text FROM operator_actions") if "s3cret" in text]
    assert run("set", "SCH-01", "--secret-from-stdin", "api_key", stdin="")[0] == 0
    assert stored()["api_key_sealed"] is None


def test_a_refused_setting_changes_nothing(side: MllpSide) -> None:
    before = stored()
    for setting in ("port=0", "acknowledgements=XX=RETRY", "messages=UPDATE=ADT^A99", "enabled=on", "colour=red"):
        assert run("set", "SCH-01", "batch=5", setting)[0] == 1, setting
    assert stored() == before


def test_an_endpoint_that_is_off_is_tried_and_the_test_is_logged(side: MllpSide) -> None:
    schools.change_endpoint("SCH-01", {"host": "127.0.0.1", "port": side.port, "tls": False}, actor="test")
    code, said = run("test", "SCH-01", "--message")
    assert code == 0
    assert "ok Test message: Accepted (AA)." in said
    with connected():
        actor, detail = fetch_one("SELECT actor, detail::text FROM operator_actions WHERE action = 'hl7_endpoint_test'")
    assert actor == "cli"
    assert json.loads(detail)["works"] is True
    assert not stored()["enabled"]


def test_the_test_message_says_that_it_is_one(side: MllpSide) -> None:
    schools.change_endpoint("SCH-01", {"host": "127.0.0.1", "port": side.port, "tls": False}, actor="test")
    endpoint_test.run_test("SCH-01", actor="test", with_message=True)
    (received,) = side._exchange.received
    names = [line[:3] for line in received.body.split(b"\r") if line]
    header = received.body.split(b"\r")[0].split(b"|")
    assert (header[8], header[10]) == (b"ADT^A08^ADT_A01", b"T")
    assert received.patient == "TEST-ENDPOINT"
    assert names == [b"MSH", b"EVN", b"PID", b"PV1"]
    with connected():
        assert fetch_one("SELECT count(*) FROM hl7_messages")[0] == 0


def test_no_more_than_two_are_tried_at_once(side: MllpSide) -> None:
    schools.change_endpoint("SCH-01", {"host": "127.0.0.1", "port": side.port, "tls": False}, actor="test")
    for _ in range(endpoint_test.MOST_AT_ONCE):
        assert endpoint_test._places.acquire(blocking=False)
    try:
        with pytest.raises(endpoint_test.TooManyTests):
            endpoint_test.run_test("SCH-01", actor="test")
    finally:
        for _ in range(endpoint_test.MOST_AT_ONCE):
            endpoint_test._places.release()
    assert endpoint_test.run_test("SCH-01", actor="test").trial.works


def test_a_failing_test_ends_with_an_exit_code(side: MllpSide) -> None:
    side.close()
    schools.change_endpoint("SCH-01", {"host": "127.0.0.1", "port": side.port, "tls": False}, actor="test")
    code, said = run("test", "SCH-01")
    assert code == 1
    assert "failed Connection:" in said


def test_an_unfinished_endpoint_and_an_unknown_school_are_named(side: MllpSide) -> None:
    assert "BAD_ENDPOINT: The host must be a plain name or address." in run("test", "SCH-01")[1]
    assert "UNKNOWN_SCHOOL" in run("test", "SCH-99")[1]


def test_of_two_changes_of_one_version_the_second_is_refused(side: MllpSide) -> None:
    schools.change_endpoint("SCH-01", {"batch": 5}, actor="first", version=1)
    with pytest.raises(SchoolError) as refused:
        schools.change_endpoint("SCH-01", {"batch": 6}, actor="second", version=1)
    assert refused.value.code == "CHANGED_MEANWHILE"
    assert "first" in refused.value.message


def test_https_credentials_are_judged_by_the_test_message(desk: Desk) -> None:
    schools.add_school("SCH-01", "First school", actor="test")
    side = HttpSide(Exchange(), api_key="right")
    try:
        url = f"http://127.0.0.1:{side.port}/hl7"
        schools.change_endpoint("SCH-01", {"transport": "HTTPS", "url": url, "api_key": "wrong"}, actor="test")
        assert endpoint_test.run_test("SCH-01", actor="test").trial.works
        refused = endpoint_test.run_test("SCH-01", actor="test", with_message=True).trial
        assert refused.code == "ENDPOINT_REFUSED_CREDENTIALS"
    finally:
        side.close()
