"""Who sends to whom, as configured, and control ids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatchlog.systems.hl7.identity import CONTROL_ID, Authority, Identity, IdentityError, new_control_id
from tests.systems.hl7.visits import IDENTITY


@pytest.mark.parametrize("length", range(12, 21))
def test_new_control_ids_have_their_length_and_never_repeat(length: int) -> None:
    made = {new_control_id(length) for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(each) == length and CONTROL_ID.fullmatch(each) for each in made)


@pytest.mark.parametrize("length", [11, 21])
def test_a_control_id_is_neither_guessable_nor_too_long(length: int) -> None:
    with pytest.raises(ValueError, match="12 to 20"):
        new_control_id(length)


def test_an_authority_is_read_as_it_is_configured() -> None:
    assert Authority.parse("SCH01") == Authority("SCH01")
    assert Authority.parse("SCH01^1.2.3^ISO") == Authority("SCH01", "1.2.3", "ISO")
    assert Authority.parse("SCH01^1.2.3^ISO").component == "SCH01&1.2.3&ISO"
    assert Authority.parse("") == Authority()


@pytest.mark.parametrize(
    "authority",
    [Authority("x" * 21), Authority("a\rb"), Authority("A", "1.2.3"), Authority("A", "1.2.3", "OID"), Authority('""')],
)
def test_an_authority_that_cannot_be_sent_is_refused(authority: Authority) -> None:
    with pytest.raises(IdentityError) as refused:
        replace(IDENTITY, patient_authority=authority)
    assert refused.value.field == "patient_authority"


@pytest.mark.parametrize(
    ("field", "value"),
    [("processing_id", "X"), ("message_type_form", "LONG"), ("control_id_length", 11), ("control_id_length", 21)],
)
def test_a_setting_outside_its_values_is_refused(field: str, value: object) -> None:
    with pytest.raises(IdentityError) as refused:
        replace(IDENTITY, **{field: value})
    assert refused.value.field == field


def test_a_sender_has_a_name() -> None:
    with pytest.raises(IdentityError):
        Identity(Authority())
