"""Texts of messages: values by their kind and language, variants, segments, and what is withheld."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.outreach.gsm import count_segments
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.local_words import LANGUAGES
from dispatchlog.systems.outreach.rendering import PORTAL_MARK, Rendered, preview, render, with_link
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import Template, Variable, Variant

STANDING = {
    "patient_first_name": "Jo",
    "organization_name": "Sample Clinic",
    "provider_name": "Dr Sample",
    "organization_phone": "+1 202 555 0100",
    "opt_out_hint": "Reply STOP to opt out.",
}
AT = datetime(2026, 3, 3, 15, 30, tzinfo=UTC)


def template(body: str, *variables: Variable, **values: Any) -> Template:
    is_email = values.get("channel") is Channel.EMAIL
    return Template(
        **{
            "id": UUID(int=1),
            "name": "Sample",
            "purpose": Purpose.APPT_REMINDER,
            "channel": Channel.SMS,
            "language": "en",
            "subject": "Your appointment" if is_email else None,
            "body": body,
            "variables": variables,
            "variants": (),
            "provider_template": {},
            "is_marketing": False,
            "family": "",
            "organization_id": None,
            "provider_id": None,
            "is_active": True,
            "version": 1,
            **values,
        }
    )


def text_of(made: Template, variables: dict[str, Any] | None = None, **values: Any) -> Rendered:
    return render(
        made, variables or {}, **{"standing": STANDING, "zone": "America/New_York", "bucket": "patient", **values}
    )


EMAIL = {"channel": Channel.EMAIL}


def test_an_sms_names_its_sender_and_the_way_out() -> None:
    assert text_of(template("Hello.")).body == "Sample Clinic: Hello. Reply STOP to opt out."
    own = template("{{ opt_out_hint }} {{ organization_name }} says hello.")
    assert text_of(own).body == "Reply STOP to opt out. Sample Clinic says hello."
    assert text_of(template("Hello.", **EMAIL)).body == "Hello."


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Tuesday, March 3 at 10:30 AM / March 3, 2026 / 10:30 AM"),
        ("en-GB", "Tuesday 3 March at 10:30 / 3 March 2026 / 10:30"),
        ("es", "martes 3 de marzo a las 10:30 / 3 de marzo de 2026 / 10:30"),
        ("fr-CA", "mardi 3 mars à 10:30 / 3 mars 2026 / 10:30"),
        ("ar", "الثلاثاء 3 مارس الساعة 10:30 / 3 مارس 2026 / 10:30"),
        ("pt-BR", "terça-feira, 3 de março às 10:30 / 3 de março de 2026 / 10:30"),
        ("hi", "मंगलवार 3 मार्च, 10:30 बजे / 3 मार्च 2026 / 10:30"),
        ("yo", "Ọjọ́ Ìṣẹ́gun 3 Ẹrẹ̀nà, aago 10:30 / 3 Ẹrẹ̀nà 2026 / 10:30"),
        ("de", "2026-03-03 10:30 / 2026-03-03 / 10:30"),
    ],
)
def test_an_instant_is_told_in_the_patients_zone_and_language(language: str, expected: str) -> None:
    made = template(
        "{{ at }} / {{ at | date }} / {{ at | time }}", Variable("at", kind="datetime"), language=language, **EMAIL
    )
    assert text_of(made, {"at": "2026-03-03T15:30:00Z"}).body == expected
    assert text_of(made, {"at": AT}).body == expected


def test_every_language_has_all_its_names() -> None:
    assert set(LANGUAGES) == {"en", "es", "fr", "ar", "pt", "hi", "yo"}
    for words in LANGUAGES.values():
        assert (len(set(words.months)), len(set(words.weekdays))) == (12, 7)


@pytest.mark.parametrize(
    ("kind", "good", "shown", "bad"),
    [
        ("text", "two\nlines", "two\nlines", [["x"], {"x": 1}, True, "x" * 1_001]),
        ("name", " Jo  Sample ", "Jo Sample", [7.5j, "x" * 256]),
        ("number", 12, "12", ["twelve", True, "nan", "inf", "9" * 65]),
        (
            "url",
            "https://example.org/a?b=c",
            "https://example.org/a?b=c",
            ["javascript:alert(1)", "example.org", "https://a b"],
        ),
        ("date", "2026-03-03", "March 3, 2026", ["3/3/2026", "2026-02-30", 20260303]),
        ("date", date(2026, 3, 3), "March 3, 2026", ["2026-03-03T10:00:00"]),
        ("time", "10:30", "10:30 AM", ["25:00", "half past ten"]),
        ("time", time(14, 5), "2:05 PM", [date(2026, 3, 3)]),
        (
            "datetime",
            "2026-03-03T15:30:00+00:00",
            "Tuesday, March 3 at 10:30 AM",
            ["2026-03-03T15:30:00", "2026-03-04", ""],
        ),
    ],
)
def test_a_value_is_of_its_kind_or_refused(kind: str, good: object, shown: str, bad: list[object]) -> None:
    made = template("{{ it }}", Variable("it", kind=kind), **EMAIL)
    assert text_of(made, {"it": good}).body == shown
    for value in bad:
        with pytest.raises(OutreachError) as error:
            text_of(made, {"it": value})
        assert error.value.code == ("MISSING_VARIABLE" if value == "" else "INVALID_VARIABLE")
        assert error.value.field == "variables.it"
        assert not str(value) or str(value) not in error.value.message


def test_variables_are_those_that_are_declared() -> None:
    made = template("{{ needed }}{{ other }}", Variable("needed"), Variable("other", required=False), **EMAIL)
    assert text_of(made, {"needed": "a"}).body == "a"
    for variables, code, field in (
        ({"needed": "a", "more": "b"}, "UNKNOWN_VARIABLE", "variables.more"),
        ({"needed": "a", "patient_first_name": "b"}, "UNKNOWN_VARIABLE", "variables.patient_first_name"),
        ({"other": "b"}, "MISSING_VARIABLE", "variables.needed"),
        ({"needed": None}, "MISSING_VARIABLE", "variables.needed"),
        ({"needed": " \u0000\ue000 "}, "MISSING_VARIABLE", "variables.needed"),
    ):
        with pytest.raises(OutreachError) as error:
            text_of(made, variables)
        assert (error.value.code, error.value.field) == (code, field)


def test_a_value_is_text_and_never_a_template() -> None:
    made = template("{{ it }}", Variable("it"), **EMAIL)
    for value in ("{{ patient_first_name }}", "{% raw %}", "{{ 7*7 }}", "<b>&amp;</b>"):
        assert text_of(made, {"it": value}).body == value


def test_what_could_disguise_a_text_is_taken_out_of_values() -> None:
    made = template("[{{ it }}]", Variable("it"), **EMAIL)
    assert text_of(made, {"it": f"a\u202eb\x1bc{PORTAL_MARK}d\r\ne"}).body == "[abcd\ne]"


def test_a_subject_is_one_line() -> None:
    made = template("x", Variable("it"), subject="About {{ it }}", **EMAIL)
    assert text_of(made, {"it": "you\r\nBcc: all@example.org"}).subject == "About you Bcc: all@example.org"


VARIANTS = (Variant("A", 3, None, "first"), Variant("B", 1, None, "second"))


def test_a_bucket_always_has_the_same_variant_and_shares_are_kept() -> None:
    made = replace(template("unused"), variants=VARIANTS)
    buckets = [str(uuid4()) for _ in range(2_000)]
    first = [text_of(made, bucket=bucket).variant for bucket in buckets]
    assert first == [text_of(made, bucket=bucket).variant for bucket in buckets]
    assert 1_380 < Counter(first)["A"] < 1_620
    other = replace(made, id=UUID(int=2))
    assert first != [text_of(other, bucket=bucket).variant for bucket in buckets]


def test_a_variant_can_be_named() -> None:
    made = replace(template("unused"), variants=VARIANTS)
    assert "second" in text_of(made, variant="B").body
    with pytest.raises(OutreachError) as error:
        text_of(made, variant="C")
    assert (error.value.code, error.value.field) == ("UNKNOWN_VARIANT", "ab_variant")


@pytest.mark.parametrize(
    ("text", "number", "encoding"),
    [
        ("", 0, "GSM-7"),
        ("a" * 160, 1, "GSM-7"),
        ("a" * 161, 2, "GSM-7"),
        ("a" * 306, 2, "GSM-7"),
        ("a" * 307, 3, "GSM-7"),
        ("€" * 80, 1, "GSM-7"),
        ("a" + "€" * 80, 2, "GSM-7"),
        ("€" * 153, 3, "GSM-7"),  # 76 in each, for the escape is never parted from its character
        ("á" + "a" * 69, 1, "UCS-2"),
        ("á" + "a" * 70, 2, "UCS-2"),
        ("á" * 134, 2, "UCS-2"),
        ("á" * 135, 3, "UCS-2"),
        ("😀" * 35, 1, "UCS-2"),
        ("😀" * 66, 2, "UCS-2"),
        ("😀" * 67, 3, "UCS-2"),  # 33 in each, for a pair of surrogates is never parted
    ],
)
def test_segments_are_counted_as_the_network_does(text: str, number: int, encoding: str) -> None:
    found = count_segments(text)
    assert (found.number, found.encoding) == (number, encoding)


def test_a_text_of_more_than_four_segments_is_refused() -> None:
    made = template("{{ it }} {{ opt_out_hint }} {{ organization_name }}", Variable("it"))
    rest = len(text_of(made, {"it": "x"}).body) - 1
    assert count_segments(text_of(made, {"it": "x" * (612 - rest)}).body).number == 4
    with pytest.raises(OutreachError) as error:
        text_of(made, {"it": "x" * (613 - rest)})
    assert error.value.code == "TEXT_TOO_LONG"
    with pytest.raises(OutreachError):
        text_of(made, {"it": "á" * 268})
    whatsapp = replace(template("{{ it }}{{ it }}", Variable("it")), channel=Channel.WHATSAPP)
    assert text_of(whatsapp, {"it": "x" * 800}).body == "x" * 1_600
    with pytest.raises(OutreachError):
        text_of(whatsapp, {"it": "x" * 801})


SECRET = Variable("finding", is_phi=True)
PLACE = Variable("place", required=False)


def test_a_variable_about_health_stands_behind_the_link() -> None:
    made = template("Your result: {{ finding }}.", SECRET)
    found = text_of(made, {"finding": "HbA1c 7.1 %"})
    assert found.body == f"Sample Clinic: You have a new message. Read it here: {PORTAL_MARK} Reply STOP to opt out."
    assert "HbA1c 7.1 %" in found.portal_text
    assert (found.portal_mark, found.withheld) == (PORTAL_MARK, ("finding",))
    filled = with_link(found, "https://example.org/p/abc")
    assert "https://example.org/p/abc" in filled.body
    assert PORTAL_MARK not in filled.body


def test_what_a_harmless_variable_says_about_health_is_withheld_too() -> None:
    made = template("Come to {{ place }}.", PLACE)
    assert text_of(made, {"place": "room 4"}).portal_mark == ""
    found = text_of(made, {"place": "the c\u200ba\u200bncer ward"})
    assert (found.portal_mark, found.withheld, found.found) == (PORTAL_MARK, (), ("DIAGNOSIS",))
    assert "ward" not in found.body
    assert "ward" in found.portal_text


def test_a_clinic_may_be_called_after_what_it_treats() -> None:
    found = text_of(template("See you soon."), standing={**STANDING, "organization_name": "Sample Cancer Centre"})
    assert found.body.startswith("Sample Cancer Centre: See you soon.")


def test_an_email_may_say_it_in_its_body_and_never_in_its_subject() -> None:
    made = template("{{ finding }} {{ place }}", SECRET, PLACE, subject="About {{ place }}", **EMAIL)
    found = text_of(made, {"finding": "HbA1c 7.1 %", "place": "hba1c 7.1%"})
    assert (found.subject, found.portal_mark) == ("A message for you", "")
    assert "HbA1c 7.1 %" in found.body
    assert text_of(made, {"finding": "HbA1c 7.1 %", "place": "room 4"}).subject == "About room 4"


def test_a_providers_template_has_no_parameter_about_health() -> None:
    outside = {"name": "reminder", "language": "en_US", "parameters": ["place", "organization_name"]}
    made = template("{{ place }}", PLACE, channel=Channel.WHATSAPP, provider_template=outside)
    assert text_of(made, {"place": "room\n4"}).provider_template["parameters"] == ["room 4", "Sample Clinic"]
    assert text_of(made, {"place": "the cancer ward"}).provider_template == {}
    linked = {"name": "read", "language": "en_US", "parameters": ["portal_link"]}
    made = template("{{ finding }}", SECRET, channel=Channel.WHATSAPP, provider_template=linked)
    found = with_link(text_of(made, {"finding": "x"}), "https://example.org/p/abc")
    assert found.provider_template["parameters"] == ["https://example.org/p/abc"]


@given(
    finding=st.text(min_size=1, max_size=200),
    place=st.text(max_size=60),
    channel=st.sampled_from([Channel.SMS, Channel.WHATSAPP]),
)
def test_nothing_that_leaves_depends_on_a_variable_about_health(finding: str, place: str, channel: Channel) -> None:
    """Whatever its value is: letter for letter the message that another value makes."""
    outside = {"name": "n", "language": "en_US", "parameters": ["place", "organization_name"]}
    made = template(
        "For {{ patient_first_name }}: {{ finding }}, in {{ place }}.",
        replace(SECRET, required=False),
        PLACE,
        channel=channel,
        provider_template=outside if channel is Channel.WHATSAPP else {},
    )
    first, other = (text_of(made, {"finding": each, "place": place}) for each in (finding, "zzqx"))
    if first.withheld:
        assert (first.body, first.subject) == (other.body, None)
        # It is the same or, where the place says what the finding says, it is left out.
        assert first.provider_template in ({}, other.provider_template)
    else:
        assert first.body == text_of(made, {"place": place}).body


DISGUISES: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.title,
    " ".join,
    "\u200b".join,
    "-".join,
    "\u0301".join,
    lambda text: "".join(chr(ord(each) + 0xFEE0) for each in text),
    lambda text: text.translate(str.maketrans("aeopcxy", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443")),
    lambda text: f"xx{text}xx",
)


@given(
    secret=st.text("abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=30),
    disguise=st.sampled_from(DISGUISES),
    channel=st.sampled_from([Channel.SMS, Channel.WHATSAPP]),
)
def test_a_secret_does_not_leave_by_another_variable_however_it_is_written(
    secret: str, disguise: Callable[[str], str], channel: Channel
) -> None:
    quiet = (Variant("A", 1, None, "In {{ place }}."), Variant("B", 1, None, "{{ finding }}"))
    made = template("unused", SECRET, PLACE, variants=quiet, channel=channel)
    plain = text_of(made, {"finding": "zzqx", "place": "room 4"}, variant="A").body
    assert "In room 4." in plain
    found = text_of(made, {"finding": secret, "place": disguise(secret)}, variant="A")
    assert found.portal_mark == PORTAL_MARK
    assert found.body == text_of(made, {"finding": "zzqx", "place": "zzqx"}, variant="A").body, "it says nothing of it"
    subject = template("x {{ finding }}", SECRET, PLACE, subject="{{ place }}", **EMAIL)
    assert text_of(subject, {"finding": secret, "place": disguise(secret)}).subject == "A message for you"


def test_a_preview_needs_no_values() -> None:
    made = template(
        "{{ patient_first_name }}, {{ at }}: {{ it }}", Variable("at", kind="datetime"), Variable("it", example="hi")
    )
    assert preview(made).body == ("Example Clinic: Sam, Tuesday, March 3 at 10:30 AM: hi Reply STOP to opt out.")
    assert "no" in preview(made, {"it": "no"}).body


def test_a_line_about_nothing_is_left_out() -> None:
    made = template("Hello.\nPlace: {{ place }}\n{{ organization_phone }}\nBye.", PLACE, **EMAIL)
    assert text_of(made, {"place": "room 4"}).body == "Hello.\nPlace: room 4\n+1 202 555 0100\nBye."
    assert text_of(made, standing={**STANDING, "organization_phone": ""}).body == "Hello.\nBye."
