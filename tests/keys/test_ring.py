"""The data keys: made once, open only with the secret key, and what was sealed or hashed before them stays of use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest

from dispatchlog import sealing
from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.keys import beginning
from dispatchlog.keys.columns import CONTACTS
from dispatchlog.keys.formats import HEADER_BYTES, header_of, key_id_of, open_first, seal_first
from dispatchlog.keys.ring import Rings, rings
from dispatchlog.keys.secret_keys import SecretKey, secret_keys
from dispatchlog.sealing import CannotUnsealError, derive_key, find_key, seal, unseal
from dispatchlog.systems.outreach import contacts
from dispatchlog.systems.outreach.states import Channel
from tests.keys.conftest import FIRST, SECOND
from tests.keys.owning import change_keys, rotate
from tests.outreach import builders

pytestmark = pytest.mark.usefixtures("application")

SaySecret = Callable[..., None]


def key_rows() -> list[tuple[int, str]]:
    with connected():
        return [(key_id, purpose) for key_id, purpose in fetch_all("SELECT id, purpose FROM data_keys ORDER BY id")]


@contextmanager
def refused(saying: str) -> Iterator[None]:
    with pytest.raises(CannotUnsealError, match=saying) as error:
        yield
    assert error.value.code == "CANNOT_UNSEAL"


def another_key(material: bytes) -> None:
    change_keys("UPDATE data_keys SET superseded_at = now() WHERE id = 2")
    with transaction("test"):
        beginning.insert_key("seal", material)


def test_many_that_seal_first_at_the_same_time_make_the_keys_once() -> None:
    def sealed(number: int) -> bytes:
        return Rings().with_keys().sealing.open()

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(sealed, range(8)))
    assert len(found) == 1
    assert key_rows() == [(1, "find"), (2, "seal")]


def test_what_another_process_seals_while_we_look_for_keys_is_under_its_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look() -> SecretKey | None:
        with ThreadPoolExecutor(1) as another:
            another.submit(beginning.create_first_keys).result()
            another.submit(builders.patient).result()
        return beginning.earlier_secret_key()

    monkeypatch.setattr("dispatchlog.keys.ring.earlier_secret_key", look)
    assert len(Rings().current().keys) == 2


def test_a_key_outlives_the_transaction_that_needed_it_first() -> None:
    sealed = []

    def rolled_back() -> None:
        with transaction("test"):
            sealed.append(seal("text", purpose="p", owner="1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rolled_back()
    rings.forget()
    assert unseal(sealed[0], purpose="p", owner="1") == "text"


def test_the_keys_are_not_in_the_database() -> None:
    ring = rings.with_keys()
    with connected():
        stored = b"".join(bytes(wrapped) for (wrapped,) in fetch_all("SELECT wrapped FROM data_keys"))
    assert ring.sealing.open() not in stored
    assert ring.finding.open() not in stored
    assert ring.sealing.open().hex() not in repr(ring)


def test_what_is_sealed_names_its_key_and_opens_for_its_owner_and_purpose_only() -> None:
    sealed = seal("text", purpose="p", owner="1")
    assert sealed[:HEADER_BYTES] == header_of(2)
    assert unseal(sealed, purpose="p", owner="1") == "text"
    assert sealed != seal("text", purpose="p", owner="1")
    for purpose, whose in (("q", "1"), ("p", "2"), ("p", "")):
        with refused("cannot be read"):
            unseal(sealed, purpose=purpose, owner=whose)


def test_bytes_that_are_no_text_can_be_sealed_too() -> None:
    sealed = sealing.seal_bytes(b"\xff\x00", purpose="p", owner="1")
    assert sealing.unseal_bytes(sealed, purpose="p", owner="1") == b"\xff\x00"
    with refused("not a text"):
        unseal(sealed, purpose="p", owner="1")


def test_not_one_bit_of_it_can_be_changed_and_nothing_cut_off() -> None:
    sealed = seal("text", purpose="p", owner="1")
    for place in range(len(sealed)):
        for bit in (1, 128):
            changed = bytes([*sealed[:place], sealed[place] ^ bit, *sealed[place + 1 :]])
            with refused("cannot be read"):
                unseal(changed, purpose="p", owner="1")
    for length in range(len(sealed)):
        with refused("cannot be read"):
            unseal(sealed[:length], purpose="p", owner="1")


def test_a_value_moved_to_another_row_opens_nothing() -> None:
    one, two = builders.patient(email="one@example.org"), builders.patient(email="two@example.org")
    with connected():
        execute(
            "UPDATE patients p SET email_sealed = o.email_sealed FROM patients o WHERE p.id = %s AND o.id = %s",
            (one, two),
        )
    with connected():
        ((moved,),) = fetch_all("SELECT email_sealed FROM patients WHERE id = %s", (one,))
    with refused("cannot be read"):
        contacts.open_text(moved, one)


def test_wrapped_keys_that_change_places_or_are_changed_open_nothing() -> None:
    sealed = seal("text", purpose="p", owner="1")
    assert change_keys("UPDATE data_keys k SET wrapped = o.wrapped FROM data_keys o WHERE k.id <> o.id") == 2
    rings.forget()
    with refused("data key 2"):
        unseal(sealed, purpose="p", owner="1")
    with refused("data key 1"):
        find_key("p")


def test_another_secret_key_opens_nothing_and_says_what_to_do(say_secret: SaySecret) -> None:
    sealed = seal("text", purpose="p", owner="1")
    say_secret(SECOND)
    for attempt in (
        lambda: unseal(sealed, purpose="p", owner="1"),
        lambda: seal("text", purpose="p", owner="1"),
        lambda: find_key("p"),
    ):
        with refused("DISPATCHLOG_OLD_SECRET_KEYS"):
            attempt()
    assert len(key_rows()) == 2
    say_secret(SECOND, FIRST)
    assert unseal(sealed, purpose="p", owner="1") == "text"


def test_a_process_notices_a_key_that_another_one_made() -> None:
    here, there = Rings(fresh_seconds=3600.0), Rings(fresh_seconds=0.0)
    assert here.current().sealing.id == 2
    another_key(b"k" * 32)
    assert there.current().sealing.id == 3
    assert here.current().sealing.id == 2
    assert here.read_again().sealing.open() == b"k" * 32


def test_what_is_under_a_key_not_known_yet_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "rings", slow := Rings(fresh_seconds=3600.0))
    slow.current()
    another_key(b"k" * 32)
    monkeypatch.setattr(sealing, "rings", Rings())
    sealed = seal("text", purpose="p", owner="1")
    assert sealed[:HEADER_BYTES] == header_of(3)
    monkeypatch.setattr(sealing, "rings", slow)
    assert unseal(sealed, purpose="p", owner="1") == "text"


# --- what was there before there were data keys


def sealed_before(secret: str = FIRST, *, text: str = "Jo Sample") -> tuple[str, bytes]:
    """A patient's row as an earlier version wrote it: sealed straight under the secret key."""
    patient = uuid4()
    sealed = seal_first(text.encode(), purpose=CONTACTS, owner=str(patient), secret_key=secret)
    with connected():
        execute("INSERT INTO patients (id, name_sealed) VALUES (%s, %s)", (patient, sealed))
    return str(patient), sealed


def test_what_an_earlier_version_sealed_is_read_also_after_the_secret_key_changed(say_secret: SaySecret) -> None:
    patient, sealed = sealed_before()
    assert unseal(sealed, purpose=CONTACTS, owner=patient) == "Jo Sample"
    say_secret(SECOND, FIRST)
    assert unseal(sealed, purpose=CONTACTS, owner=patient) == "Jo Sample"
    say_secret(SECOND)
    with refused("the one that was in force"):
        unseal(sealed, purpose=CONTACTS, owner=patient)


def test_an_earlier_one_that_looks_like_a_later_one_is_read() -> None:
    sealed = next(
        made
        for _ in range(100_000)
        if (made := seal_first(b"text", purpose="p", owner="1", secret_key=FIRST)).startswith(b"\x02")
    )
    assert unseal(sealed, purpose="p", owner="1") == "text"


def test_hashes_that_an_earlier_version_made_stay_what_they_are() -> None:
    sealed_before()
    assert find_key("patient look-up") == derive_key(FIRST, "patient look-up")
    assert find_key("delivery code") == derive_key(FIRST, "delivery code")


def test_where_an_earlier_release_worked_things_go_on_as_it_does_them_until_keys_are_made() -> None:
    patient, _ = sealed_before()
    sealed = seal("text", purpose="p", owner="1")
    assert open_first(sealed, purpose="p", owner="1", among=secret_keys()) == b"text"
    assert key_rows() == []
    found = find_key("patient look-up")
    assert found == derive_key(FIRST, "patient look-up")
    assert rotate().key_id == 2
    assert key_id_of(seal("text", purpose="p", owner="1")) == 2
    assert unseal(sealed, purpose="p", owner="1") == "text"
    assert find_key("patient look-up") == found
    with connected():
        ((stored,),) = fetch_all("SELECT name_sealed FROM patients WHERE id = %s", (patient,))
    assert unseal(bytes(stored), purpose=CONTACTS, owner=patient) == "Jo Sample"


def test_the_earlier_ways_go_on_under_the_secret_key_that_they_began_with(say_secret: SaySecret) -> None:
    sealed_before()
    say_secret(SECOND, FIRST)
    sealed = seal("text", purpose="p", owner="1")
    assert open_first(sealed, purpose="p", owner="1", among=secret_keys()[1:]) == b"text"
    assert find_key("p") == derive_key(FIRST, "p")


def test_hashes_alone_keep_their_key_too() -> None:
    with connected():
        execute(
            "INSERT INTO comm_stops (address_hash, channel, stopped_at, source) VALUES (%s, 'sms', now(), 'reply')",
            (b"x" * 32,),
        )
    assert find_key("patient look-up") == derive_key(FIRST, "patient look-up")


def test_where_nothing_was_hashed_the_key_is_a_random_one() -> None:
    assert find_key("patient look-up") != derive_key(FIRST, "patient look-up")


def test_where_an_earlier_release_worked_and_hashed_nothing_yet_its_first_stop_is_found() -> None:
    with connected():
        execute(
            "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, sha256, body)"
            " VALUES (gen_random_uuid(), 1, 'kit_registration', 'kit-registry', 'application/json', '', '{}')"
        )
    assert contacts.seal_text("a patient of this release", uuid4())  # which makes the keys
    # What a process of the earlier release, which still runs, makes of an address of its own.
    assert find_key("patient look-up") == derive_key(FIRST, "patient look-up")


def test_the_hashes_key_is_found_among_old_secret_keys(say_secret: SaySecret) -> None:
    sealed_before(FIRST)
    say_secret(SECOND, "one that was never in force", FIRST)
    assert find_key("patient look-up") == derive_key(FIRST, "patient look-up")


def test_a_process_with_another_secret_key_makes_no_keys_over_what_it_cannot_read(say_secret: SaySecret) -> None:
    sealed_before(FIRST)
    say_secret(SECOND)
    with refused("the one that was in force"):
        contacts.address_hash(Channel.SMS, builders.PHONE)
    assert key_rows() == []
    assert beginning.create_first_keys(although_unreadable=True)
    assert key_rows() == [(1, "find"), (2, "seal")]
    assert not beginning.create_first_keys(although_unreadable=True)


def test_what_passes_between_processes_opens_under_an_old_secret_key(say_secret: SaySecret) -> None:
    passed = sealing.seal_to_pass("report", purpose="p", owner="1")
    say_secret(SECOND, FIRST)
    assert sealing.open_passed(passed, purpose="p", owner="1") == "report"
    with refused("one of our secret keys"):
        sealing.open_passed(passed, purpose="p", owner="2")
    say_secret(SECOND)
    with refused("one of our secret keys"):
        sealing.open_passed(passed, purpose="p", owner="1")
    assert key_rows() == []
