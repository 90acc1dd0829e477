"""The commands `dispatchlog keys`: what they say, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from dispatchlog.cli import main
from dispatchlog.doctor import examine
from dispatchlog.engine.database import connected, execute
from dispatchlog.keys import rotation
from dispatchlog.keys.ring import rings
from dispatchlog.settings import get_settings
from tests.keys.conftest import FIRST, SECOND
from tests.keys.owning import change_keys
from tests.keys.samples import seal_everything
from tests.keys.test_rotation import patients_sealed_before

pytestmark = pytest.mark.usefixtures("application")

SaySecret = Callable[..., None]


@pytest.fixture(autouse=True)
def noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process has to notice anything here."""
    monkeypatch.setattr(rotation, "NOTICED_SECONDS", 0.0)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["keys", *arguments])
    return result.exit_code, result.output


def lines(*arguments: str) -> list[list[str]]:
    """What a command says, each line as its words."""
    code, output = run(*arguments)
    assert code == 0, output
    return [line.split() for line in output.splitlines() if line]


def checks() -> dict[str, tuple[str, str]]:
    return {check.name: (check.state, check.what) for check in examine(get_settings())}


def test_before_anything_was_sealed_there_are_no_keys_and_they_can_be_made() -> None:
    assert "no data keys yet" in run("status")[1]
    assert checks()["keys"] == ("ok", "none yet; the first are made when something is first sealed")
    assert run("create") == (0, "the first data keys are made\n")
    assert run("create") == (0, "there are data keys already; nothing was changed\n")
    said = run("status")[1]
    assert "everything opens with DISPATCHLOG_SECRET_KEY" in said
    assert checks()["keys"] == ("ok", "2 data keys, wrapped under DISPATCHLOG_SECRET_KEY")


def test_a_rotation_of_both_is_told_step_by_step(say_secret: SaySecret) -> None:
    seal_everything()
    patients_sealed_before(2)
    said = lines("status")
    assert ["patients.name_sealed", "old", "format", "2"] in said
    assert ["patients.name_sealed", "key", "2", "1"] in said
    assert "12 values" not in run("status")[1]
    assert run("rotate-data")[1].endswith("2 values sealed anew under data key 2, which was there\n")
    say_secret(SECOND, FIRST)
    assert "wrapped under an old secret key" in run("status")[1]
    assert checks()["keys"][0] == "warning"
    assert run("rotate-secret", "--yes") == (0, "wrapped anew under DISPATCHLOG_SECRET_KEY: data key 1, 2\n")
    assert run("rotate-secret", "--yes") == (0, "every data key is wrapped under DISPATCHLOG_SECRET_KEY already\n")
    assert "old secret key 1 wraps no data key and opens nothing sealed" in run("status")[1]
    say_secret(SECOND)
    assert run("rotate-data")[1].endswith("12 values sealed anew under data key 3, made for this\n")
    assert ["patients.name_sealed", "key", "3", "3"] in lines("status")


def test_doctor_reminds_of_what_an_earlier_release_sealed(say_secret: SaySecret) -> None:
    patients_sealed_before(1)
    assert checks()["keys"] == ("warning", "secrets are still sealed straight under the secret key")
    say_secret(SECOND)
    assert checks()["keys"][0] == "failed"
    say_secret(FIRST)
    run("rotate-data")
    assert checks()["keys"][0] == "ok"


def test_a_mistyped_secret_key_is_seen_before_it_takes_over(say_secret: SaySecret) -> None:
    seal_everything()
    (said,) = [line for line in lines("status") if line[0] == "DISPATCHLOG_SECRET_KEY"]
    say_secret(f"{FIRST} ", FIRST)
    code, output = run("rotate-secret")
    assert code == 1
    assert "fingerprint" in output
    assert said[1] not in output
    say_secret(FIRST)
    assert run("rotate-secret", "--yes") == (0, "every data key is wrapped under DISPATCHLOG_SECRET_KEY already\n")


def test_keys_that_this_process_cannot_open_are_said(say_secret: SaySecret) -> None:
    seal_everything()
    say_secret(SECOND)
    code, said = run("status")
    assert code == 1
    assert "data key 2 opens with none of the secret keys" in said
    assert checks()["keys"][0] == "failed"
    for command in (("rotate-secret", "--yes"), ("rotate-data",)):
        code, said = run(*command)
        assert code == 1
        assert "CANNOT_UNSEAL" in said


def test_what_cannot_be_read_makes_the_rotation_say_so() -> None:
    patients_sealed_before(1)
    with connected():
        execute("UPDATE patients SET name_sealed = 'x'")
    code, said = run("rotate-data")
    assert code == 1
    assert "1 values cannot be read and stay as they are, such as patients.name_sealed of" in said


def test_a_key_that_is_needed_is_not_retired() -> None:
    rings.current()
    code, said = run("retire", "2")
    assert code == 1
    assert "KEY_NEEDED" in said
    run("rotate-data")
    change_keys("UPDATE data_keys SET superseded_at = now() - interval '1 hour' WHERE id = 2")
    assert run("retire", "2") == (0, "data key 2 is retired\n")
    assert any(line[:3] == ["2", "sealing", "retired"] for line in lines("status"))
