"""Other keys in place of those in force, while everything runs: nothing is lost, and nobody is asked to wait."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import psycopg2
import pytest

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.keys import beginning, rotation
from dispatchlog.keys.columns import CONTACTS
from dispatchlog.keys.errors import KeysError
from dispatchlog.keys.formats import header_of, seal_first
from dispatchlog.keys.ring import Rings, rings
from dispatchlog.keys.rotation import Rotation
from dispatchlog.keys.standing import look
from dispatchlog.sealing import CannotUnsealError, seal, unseal
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import code_rules
from dispatchlog.systems.outreach import consents, contacts
from dispatchlog.systems.outreach.states import Channel
from tests.keys.conftest import FIRST, SECOND
from tests.keys.owning import as_owner, retire, rotate, rotate_secret
from tests.keys.samples import headers, seal_everything
from tests.outreach import builders

pytestmark = pytest.mark.usefixtures("application")

SaySecret = Callable[..., None]


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(KeysError) as error:
        yield
    assert error.value.code == code


def patients_sealed_before(number: int) -> list[str]:
    """Rows of an earlier version."""
    ids = [str(uuid4()) for _ in range(number)]
    with connected():
        for patient in ids:
            name = seal_first(f"Patient {patient}".encode(), purpose=CONTACTS, owner=patient, secret_key=FIRST)
            execute("INSERT INTO patients (id, name_sealed) VALUES (%s, %s)", (patient, name))
    return ids


def names() -> dict[str, str | None]:
    with connected():
        return {
            str(found): contacts.open_text(name, found)
            for found, name in fetch_all("SELECT id, name_sealed FROM patients")
        }


# --- the secret key


def test_another_secret_key_takes_over_at_once_and_the_old_one_opens_nothing_any_more(say_secret: SaySecret) -> None:
    sealed = seal_everything()
    said, before = sealed.read(), headers()
    say_secret(SECOND, FIRST)
    assert rotate_secret() == [1, 2]
    assert rotate_secret() == []
    say_secret(SECOND)
    assert sealed.read() == said
    assert headers() == before
    say_secret(FIRST)
    with pytest.raises(CannotUnsealError, match="another secret key"):
        contacts.seal_text("text", uuid4())


def test_hashes_stay_what_they_are_and_stops_still_stop(say_secret: SaySecret) -> None:
    with connected():
        consents.stop(Channel.SMS, builders.PHONE, source="reply", asker=builders.PATIENT)
    dispatch = uuid4()
    code, stored = code_rules.code_of(dispatch, 0), code_rules.hash_of(dispatch, 0, code_rules.code_of(dispatch, 0))
    say_secret(SECOND, FIRST)
    rotate_secret()
    rotate()
    say_secret(SECOND)
    with connected():
        assert consents.is_stopped(Channel.SMS, contacts.address_hash(Channel.SMS, builders.PHONE))
        assert not consents.is_stopped(Channel.SMS, contacts.address_hash(Channel.SMS, "+12025550124"))
    assert code_rules.is_right(dispatch, 0, code, stored)


def test_a_process_that_knows_only_the_old_secret_key_goes_on_with_what_it_opened(say_secret: SaySecret) -> None:
    sealed = seal("text", purpose="p", owner="1")
    running = Rings(fresh_seconds=0.0)
    running.current()
    say_secret(SECOND, FIRST)
    rotate_secret()
    say_secret(FIRST)
    assert running.current().sealing.open() == running.read_again().sealing.open()
    say_secret(SECOND)
    assert unseal(sealed, purpose="p", owner="1") == "text"


def test_nothing_is_changed_where_one_of_the_keys_opens_with_none_of_the_secret_keys(say_secret: SaySecret) -> None:
    seal("text", purpose="p", owner="1")
    say_secret(SECOND)
    with pytest.raises(CannotUnsealError, match="nothing was changed"):
        rotate_secret()
    assert {key.wrapped_by for key in look().keys} == {""}
    say_secret(FIRST)
    assert {key.wrapped_by for key in look().keys} == {"DISPATCHLOG_SECRET_KEY"}


# --- the data keys


def test_everything_is_sealed_anew_and_reads_as_before() -> None:
    sealed = seal_everything()
    said = sealed.read()
    done = rotate()
    assert (done.key_id, done.is_new, done.unreadable) == (3, True, 0)
    assert headers() == {header_of(3)}
    assert sealed.read() == said
    assert rotate().key_id == 4
    assert headers() == {header_of(4)}
    assert sealed.read() == said


def test_a_first_rotation_brings_what_an_earlier_version_sealed_under_the_key_that_is_there(
    say_secret: SaySecret,
) -> None:
    ids = patients_sealed_before(7)
    done = rotate(batch=3)
    assert (done.key_id, done.is_new, done.resealed) == (2, False, 7)
    assert headers() == {header_of(2)}
    say_secret(SECOND, FIRST)
    rotate_secret()
    say_secret(SECOND)
    assert names() == {patient: f"Patient {patient}" for patient in ids}
    assert rotate().is_new


def test_what_cannot_be_read_stays_and_is_named() -> None:
    _, bad = patients_sealed_before(2)
    with connected():
        execute("UPDATE patients SET name_sealed = 'x' WHERE id = %s", (bad,))
    done = rotate()
    assert (done.resealed, done.unreadable, done.examples) == (1, 1, [f"patients.name_sealed of {bad}"])
    with connected():
        ((stored,),) = fetch_all("SELECT name_sealed FROM patients WHERE id = %s", (bad,))
    assert bytes(stored) == b"x"
    again = rotate()
    assert (again.key_id, again.is_new, again.resealed, again.unreadable) == (3, True, 1, 1)


def test_a_row_that_somebody_has_locked_is_left_until_it_is_free(application: Settings) -> None:
    patients_sealed_before(3)
    held = psycopg2.connect(application.database_url)
    with held.cursor() as cursor:
        cursor.execute("SELECT id FROM patients ORDER BY id LIMIT 1 FOR UPDATE")
        seen: list[int] = []

        def told(so_far: Rotation) -> None:
            seen.append(so_far.resealed)
            if so_far.resealed == 2:
                held.rollback()

        done = rotate(told=told)
    held.close()
    assert seen == [2, 3]
    assert (done.resealed, done.unreadable) == (3, 0)
    assert headers() == {header_of(2)}


def test_rows_that_stay_locked_are_said_and_a_later_run_goes_on(
    application: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_MOST_ROUNDS", 2)
    monkeypatch.setattr(rotation, "_PAUSE_SECONDS", 0.0)
    patients_sealed_before(2)
    held = psycopg2.connect(application.database_url)
    with held.cursor() as cursor:
        cursor.execute("SELECT id FROM patients ORDER BY id LIMIT 1 FOR UPDATE")
        with refused("ROTATION_UNFINISHED"):
            rotate()
    held.close()
    assert rotate().resealed == 1


def test_another_process_that_still_seals_under_the_earlier_key_is_waited_for() -> None:
    seal_everything()
    slow = Rings()
    earlier = slow.current().sealing
    late: list[str] = []

    def told(_: Rotation) -> None:
        if not late:
            patient = uuid4()
            with connected():
                execute(
                    "INSERT INTO patients (id, name_sealed) VALUES (%s, %s)",
                    (patient, seal_first(b"x", purpose=CONTACTS, owner=str(patient), secret_key=FIRST)),
                )
            late.append(str(patient))

    done = rotate(noticed_seconds=1.0, batch=1, told=told)
    assert earlier.id != done.key_id
    assert headers() == {header_of(done.key_id)}
    assert names()[late[0]] == "x"


class Killed(BaseException):
    """As a kill would: nothing catches it."""


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_a_rotation_that_ends_in_the_middle_goes_on_where_it_was(batches: int) -> None:
    sealed = seal_everything()
    ids = patients_sealed_before(5)
    said, left = sealed.read(), [batches]

    def told(_: Rotation) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    with pytest.raises(Killed):
        rotate(batch=1, told=told)
    rings.forget()
    assert sealed.read() == said
    done = rotate()
    assert not done.is_new
    assert headers() == {header_of(done.key_id)}
    assert sealed.read() == said
    assert {patient: f"Patient {patient}" for patient in ids}.items() <= names().items()


def test_a_process_killed_in_the_middle_loses_nothing(application: Settings) -> None:
    rings.current()
    ids = patients_sealed_before(300)
    rotate()
    command = [sys.executable, "-m", "dispatchlog.cli", "keys", "rotate-data", "--batch", "1"]
    # What nobody reads holds it up, so that it cannot be done before it is killed.
    with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, pipesize=4096, bufsize=0) as process:
        assert process.stderr is not None
        for _ in range(10):
            assert process.stderr.readline().startswith(b"so far")
        process.kill()
    rings.forget()
    assert headers() == {header_of(2), header_of(3)}
    assert names() == {patient: f"Patient {patient}" for patient in ids}
    done = rotate()
    assert (done.key_id, done.is_new) == (3, False)
    assert headers() == {header_of(3)}
    assert names() == {patient: f"Patient {patient}" for patient in ids}


def test_processes_seal_and_read_on_while_keys_are_rotated(say_secret: SaySecret) -> None:
    patients_sealed_before(50)
    rotate()
    env = {**os.environ, "DISPATCHLOG_SECRET_KEY": SECOND, "DISPATCHLOG_OLD_SECRET_KEYS": FIRST}
    command = [sys.executable, "-m", "tests.keys.sealing_process"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, env=env, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    say_secret(SECOND, FIRST)
    first = rotate(batch=7)
    assert rotate_secret() == [1, 2]
    second = rotate(batch=7)
    ends = [process.communicate("") for process in processes]
    assert [(process.returncode, error) for process, (_, error) in zip(processes, ends, strict=True)] == [(0, "")] * 2
    say_secret(SECOND)
    rings.forget()
    last = rotate(go_on=True)
    assert (first.key_id, second.key_id, last.key_id, last.unreadable) == (3, 4, 4, 0)
    assert headers() == {header_of(4)}
    found = {patient: (name or "").rstrip() for patient, name in names().items()}
    assert found == {patient: f"Patient {patient}" for patient in found}
    assert len(found) == 50 + sum(int(said) for said, _ in ends)


def test_two_rotations_at_once_end_under_one_key() -> None:
    patients_sealed_before(40)
    rotate()
    done: list[Rotation] = []

    def one() -> None:
        done.append(rotation.rotate_data(actor="test", noticed_seconds=0, batch=3))

    threads = [threading.Thread(target=one) for _ in range(2)]
    with as_owner():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert headers() == {header_of(max(each.key_id for each in done))}
    assert len(names()) == 40


def test_a_rotation_that_another_one_overtook_takes_nothing_back_under_its_own_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patients_sealed_before(5)
    rotate()
    others: list[Rotation] = []
    now = rotation._now

    def overtaken(_seconds: float) -> None:
        """While the first one waits until its key is noticed, a second one has another key made and is done."""
        if not others:
            monkeypatch.setattr(rotation, "_now", now)
            others.append(rotation.rotate_data(actor="test", noticed_seconds=0))

    monkeypatch.setattr(rotation, "_now", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr("dispatchlog.keys.rotation.time.sleep", overtaken)
    first = rotate()
    assert [first.key_id, *(each.key_id for each in others)] == [4, 4]
    assert headers() == {header_of(4)}
    retire(3)
    assert len(names()) == 5


# --- retiring


def test_a_key_is_retired_only_once_nothing_is_under_it() -> None:
    patients_sealed_before(1)
    rotate()
    with connected():
        ((stored, patient),) = fetch_all("SELECT name_sealed, id FROM patients")
    with refused("KEY_UNKNOWN"):
        retire(9)
    for number in (1, 2):
        with refused("KEY_NEEDED"):
            retire(number)
    rotate()
    with refused("KEY_TOO_NEW"):
        retire(2, settled=rotation.SETTLED)
    with connected():
        execute("UPDATE patients SET name_sealed = %s", (stored,))
    with refused("KEY_IN_USE"):
        retire(2)
    assert rotate(go_on=True).resealed == 1
    retire(2)
    retire(2)
    assert [key.state for key in look().keys] == ["in force", "retired", "in force"]
    rings.forget()
    with pytest.raises(CannotUnsealError, match="data key 2, which is retired"):
        contacts.open_text(stored, patient)


def test_what_comes_late_under_a_retired_key_is_not_lost() -> None:
    (patient,) = patients_sealed_before(1)
    rotate()
    with connected():
        ((stored,),) = fetch_all("SELECT name_sealed FROM patients")
    rotate()
    retire(2)
    with connected():
        execute("UPDATE patients SET name_sealed = %s", (stored,))
    assert look().values["patients.name_sealed"] == {2: 1}
    assert rotate(go_on=True).resealed == 1
    assert names() == {patient: f"Patient {patient}"}


# --- who did it, and who may


def test_each_change_of_keys_is_kept_with_who_made_it(say_secret: SaySecret) -> None:
    rings.current()
    rotate()
    say_secret(SECOND, FIRST)
    rotate_secret()
    retire(2)
    with connected():
        kept = fetch_all("SELECT actor, action, detail FROM operator_actions ORDER BY id")
    assert kept == [
        ("test", "rotate_data_key", {"data_key": 3}),
        ("test", "rotate_secret_key", {"data_keys": [1, 2, 3]}),
        ("test", "retire_data_key", {"data_key": 2}),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM data_keys",
        "TRUNCATE data_keys",
        "UPDATE data_keys SET id = 7",
        "UPDATE data_keys SET purpose = 'find'",
        "UPDATE data_keys SET retired_at = now(), superseded_at = now()",
        "UPDATE data_keys SET wrapped = wrapped",
    ],
)
def test_the_application_can_make_keys_and_neither_delete_nor_change_them(statement: str) -> None:
    rings.current()
    with connected(), pytest.raises(Exception, match="permission denied"):
        execute(statement)


def test_one_key_is_in_force_at_a_time() -> None:
    rings.current()
    with as_owner(), pytest.raises(Exception, match="data_keys_active"), transaction("test"):
        beginning.insert_key("seal", b"k" * 32)
    with connected():
        assert fetch_one("SELECT count(*) FROM data_keys")[0] == 2
