"""The chain outlives every rotation, and a key that is not there is told apart from a seal that was changed."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from dispatchlog.audit import duties, findings
from dispatchlog.audit.chain import chain_key
from dispatchlog.cli import main
from dispatchlog.engine.database import connected, execute
from dispatchlog.keys.beginning import create_first_keys
from dispatchlog.keys.columns import CONTACTS
from dispatchlog.keys.formats import seal_first
from dispatchlog.keys.ring import EarlierRing, rings
from dispatchlog.sealing import CannotUnsealError, derive_key
from tests.keys.conftest import FIRST, SECOND, say_secret
from tests.keys.owning import as_owner, rotate, rotate_secret

from .conftest import WHO, Owner, check, codes, seal

__all__ = ["say_secret"]  # a fixture

SaySecret = Callable[..., None]


@pytest.fixture
def earlier(owner: Owner) -> Owner:
    """A database on which an earlier release worked: something is sealed straight under the secret key."""
    patient = uuid4()
    name = seal_first(b"Jo Sample", purpose=CONTACTS, owner=str(patient), secret_key=FIRST)
    with connected():
        execute("INSERT INTO patients (id, name_sealed) VALUES (%s, %s)", (patient, name))
    rings.forget()
    return owner


def sealed_moves(owner: Owner, number: int) -> None:
    """So many moves, and what was done to keys before."""
    owner.write_moves(number)
    assert seal() >= number


def test_the_chain_holds_and_goes_on_under_another_secret_key(chained: Owner, say_secret: SaySecret) -> None:
    key = chain_key()
    say_secret(SECOND, FIRST)
    assert rotate_secret() == [1, 2]
    say_secret(SECOND)
    sealed_moves(chained, 4)
    report = check()
    assert (report.findings, report.rows) == ([], 38 + 4 + 1), "that it was rotated is a row too"
    assert chain_key() == key


def test_the_chain_holds_under_other_data_keys(chained: Owner) -> None:
    rotate()
    sealed_moves(chained, 4)
    assert check().is_good


def test_an_edit_is_found_after_the_secret_key_was_rotated(chained: Owner, say_secret: SaySecret) -> None:
    say_secret(SECOND, FIRST)
    rotate_secret()
    say_secret(SECOND)
    chained.tamper("operator_actions", "UPDATE operator_actions SET actor = 'bob' WHERE id = 2")
    chained.tamper("audit_seals", "UPDATE audit_seals SET digest = sha256(digest) WHERE number = 1")
    assert {code for code, _ in codes(check())} == {findings.EDITED, findings.SEAL_CHANGED}


def test_without_the_secret_key_that_opens_the_chain_s_it_is_not_judged(chained: Owner, say_secret: SaySecret) -> None:
    say_secret(SECOND)
    with pytest.raises(CannotUnsealError, match="DISPATCHLOG_OLD_SECRET_KEYS"):
        check()
    verified = CliRunner().invoke(main, ["audit", "verify"])
    assert (verified.exit_code, findings.SEAL_CHANGED in verified.output) == (1, False)
    assert "DISPATCHLOG_OLD_SECRET_KEYS" in verified.output
    chained.write_moves(1)
    with capture_logs() as logs:
        duties.seal(who=WHO)
        duties.verify_last_day(None, who=WHO)
    said = [(line["event"], line["code"]) for line in logs if line["event"].startswith("AUDIT_")]
    assert said == [("AUDIT_NOT_SEALED", "CANNOT_UNSEAL"), ("AUDIT_NOT_VERIFIED", "CANNOT_UNSEAL")]
    assert chained.run("SELECT count(*) FROM audit_checks WHERE findings <> '[]'") == [(0,)]
    assert chained.run("SELECT count(*) FROM audit_seals") == [(5,)]


def test_what_was_sealed_before_there_were_data_keys_holds_afterwards(earlier: Owner, say_secret: SaySecret) -> None:
    sealed_moves(earlier, 12)
    assert isinstance(rings.current(), EarlierRing)
    assert chain_key() == derive_key(FIRST, "audit chain")
    rotate()
    say_secret(SECOND, FIRST)
    rotate_secret()
    say_secret(SECOND)
    sealed_moves(earlier, 3)
    assert check().is_good
    earlier.tamper("audit_seals", "UPDATE audit_seals SET digest = sha256(digest) WHERE number = 2")
    assert (findings.SEAL_CHANGED, 2) in codes(check())


def test_seals_alone_keep_their_key_when_the_first_data_keys_are_made(earlier: Owner) -> None:
    sealed_moves(earlier, 12)
    earlier.run("DELETE FROM patients")
    rings.forget()
    assert check().is_good


def test_seals_of_a_key_that_was_given_up_are_told_apart_from_changed_ones(
    earlier: Owner, say_secret: SaySecret
) -> None:
    sealed_moves(earlier, 12)
    say_secret(SECOND)
    with as_owner():
        assert create_first_keys(although_unreadable=True)
    sealed_moves(earlier, 12)
    assert codes(check()) == [(findings.SEAL_OTHER_KEY, 1), (findings.SEAL_OTHER_KEY, 2)]
    earlier.tamper("audit_seals", "UPDATE audit_seals SET sealed_at = sealed_at - interval '1 day' WHERE number = 4")
    assert (findings.SEAL_CHANGED, 4) in codes(check())
