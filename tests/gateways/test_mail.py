"""The health-information e-mail: fixed bytes, 7-bit clean, no way to inject, nothing about health."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from dispatchlog.engine.errors import CannotCompose, NaiveInstant
from dispatchlog.systems.mail import compose_health_information, envelope_address, mask_kit_id, recipient_address

ARGUMENTS: dict[str, Any] = {
    "recipient": "pat@home.test",
    "sender": "Dispatch Desk <forms@dispatchlog.localhost>",
    "reply_to": "Help <help@clinic.example>",
    "message_id": "7d1f@dispatchlog.localhost",
    "date": datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    "practitioner_name": "Dr. Ünal & Søn <b>",
    "order_number": "A-17",
    "form_link": "https://desk.test/form/abc.def?x=1&y=2",
    "expires_at": datetime(2026, 3, 31, 23, 0, tzinfo=UTC),
    "kit_id_masked": mask_kit_id("KIT-000123"),
}


def compose(**changed: Any) -> bytes:
    return compose_health_information(**(ARGUMENTS | changed))


def parsed(**changed: Any) -> EmailMessage:
    return email.message_from_bytes(compose(**changed), policy=default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_the_same_input_gives_the_same_bytes() -> None:
    assert compose() == compose()
    assert compose() != compose(message_id="other@dispatchlog.localhost")


def test_the_bytes_are_ready_for_smtp() -> None:
    raw = compose(practitioner_name="Æ" * 300)
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"\r\n")


def test_the_headers_say_who_when_and_that_no_machine_should_answer() -> None:
    message = parsed()
    assert message["From"] == "Dispatch Desk <forms@dispatchlog.localhost>"
    assert message["To"] == "pat@home.test"
    assert message["Reply-To"] == "Help <help@clinic.example>"
    assert message["Message-ID"] == "<7d1f@dispatchlog.localhost>"
    assert message["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"] == "Your health information form from Dr. Ünal & Søn <b>"
    assert message.get_content_type() == "multipart/alternative"
    assert [inner.get_content_type() for inner in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_both_parts_tell_the_same_facts(kind: str) -> None:
    text = part(parsed(), kind)
    for fact in ("31 March 2026", "A-17", "…0123", "help@clinic.example"):
        assert fact in text
    assert text.count("https://desk.test/form/abc.def?x=1") == (
        3 if kind == "html" else 1
    )  # button, plain link and its text


def test_the_html_escapes_what_people_typed_and_loads_nothing_from_elsewhere() -> None:
    html = part(parsed(practitioner_name='<script>alert(1)</script>"'), "html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert set(re.findall(r'(?:href|src)="([^":?#]+:[^"]*)"', html)) == {
        "https://desk.test/form/abc.def?x=1&amp;y=2",
        "mailto:help@clinic.example",
    }
    assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import", html)


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_without_somebody_to_write_to_the_practitioner_is_named(kind: str) -> None:
    message = parsed(reply_to="", kit_id_masked="", practitioner_name="Dr. Roe")
    assert "Please ask Dr. Roe." in part(message, kind)
    assert message["Reply-To"] is None
    assert "Kit" not in part(message, kind).replace("Kit is", "")


def test_the_mail_says_nothing_about_the_patient_but_the_address_it_goes_to() -> None:
    message = parsed()
    assert "pat@home" not in part(message, "plain") + part(message, "html") + message["Subject"]
    assert "KIT-000123" not in compose().decode()


@pytest.mark.parametrize("field", ["recipient", "sender", "reply_to", "message_id", "form_link", "practitioner_name"])
@pytest.mark.parametrize("break_", ["\r\nBcc: all@evil.test", "\nX: 1", "\r", "\x00", "\u2028"])
def test_a_line_break_where_a_header_value_belongs_is_refused(field: str, break_: str) -> None:
    with pytest.raises(CannotCompose) as refused:
        compose(**{field: str(ARGUMENTS[field]) + break_ + "x"})
    assert refused.value.code == "BAD_HEADER"
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize("message_id", ["<a@b>", "a", "a b@c", "", "a@b>x"])
def test_a_message_id_is_bare_and_well_formed(message_id: str) -> None:
    with pytest.raises(CannotCompose, match="Message-ID"):
        compose(message_id=message_id)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "NO_RECIPIENT"),
        ("  ", "NO_RECIPIENT"),
        ("nobody", "BAD_RECIPIENT"),
        ("jane@gmail", "BAD_RECIPIENT"),
        ("a@b@c.test", "BAD_RECIPIENT"),
        ("Jane <jane@home.test>", "BAD_RECIPIENT"),
        ("jane@home.test, joe@home.test", "BAD_RECIPIENT"),
        ("jäne@home.test", "BAD_RECIPIENT"),
        ("jane@10.0.0.1", "BAD_RECIPIENT"),
    ],
)
def test_a_recipient_is_one_bare_address_and_the_error_does_not_repeat_it(address: str, code: str) -> None:
    with pytest.raises(CannotCompose) as refused:
        recipient_address(address)
    assert refused.value.code == code
    assert "jane" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["a@home.test", "a@localhost", "a@desk.localhost", "a.b+c@example.com", "a@x.local"]
)
def test_addresses_of_a_development_machine_pass(address: str) -> None:
    assert recipient_address(address) == address


def test_an_international_domain_is_written_in_ascii() -> None:
    assert recipient_address("jane@bücher.example") == "jane@xn--bcher-kva.example"


def test_the_envelope_sender_is_the_bare_address() -> None:
    assert envelope_address("Désk <forms@dispatchlog.localhost>") == "forms@dispatchlog.localhost"
    with pytest.raises(CannotCompose) as refused:
        envelope_address("Dispatch Desk")
    assert refused.value.code == "BAD_SENDER"


@pytest.mark.parametrize("link", ["javascript:alert(1)", "/form/x", "ftp://x/y", "https://x.test/a b", ""])
def test_a_link_is_http(link: str) -> None:
    with pytest.raises(CannotCompose) as refused:
        compose(form_link=link)
    assert refused.value.code == "BAD_LINK"


def test_naive_instants_are_refused() -> None:
    with pytest.raises(NaiveInstant):
        compose(date=datetime(2026, 3, 1))  # noqa: DTZ001  (naive on purpose)


def write(folder: Path, part_name: str, template: str) -> Path:
    (folder / f"health_information.{part_name}.j2").write_text(template, encoding="utf-8")
    return folder


def test_an_operators_template_wins_and_the_others_stay(tmp_path: Path) -> None:
    message = parsed(template_dir=write(tmp_path, "subject", "Formulaire de {{ practitioner_name }}\n"))
    assert message["Subject"].startswith("Formulaire de Dr. Ünal")
    assert "31 March 2026" in part(message, "plain")


@pytest.mark.parametrize(
    "template",
    [
        "{{ patient_name }}",
        "{% if %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ practitioner_name.__init__.__globals__ }}",
        "{% include 'nowhere' %}",
    ],
)
def test_a_template_that_asks_for_what_it_may_not_have_fails_the_row_and_names_the_reason(
    tmp_path: Path, template: str
) -> None:
    with pytest.raises(CannotCompose) as refused:
        compose(template_dir=write(tmp_path, "txt", template))
    assert refused.value.code == "BAD_TEMPLATE"


def test_a_subject_template_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotCompose) as refused:
        compose(template_dir=write(tmp_path, "subject", "one\nBcc: two@evil.test"))
    assert refused.value.code == "BAD_HEADER"
