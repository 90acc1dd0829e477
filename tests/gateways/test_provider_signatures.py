"""Webhooks' signatures against the providers' own libraries, both ways, over any URL, form and body."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from dispatchlog.gateways import provider_signatures as signatures

TOKEN = "twilio-auth-token"
KEY = signatures.new_sendgrid_key()
PUBLIC = signatures.sendgrid_public_key(KEY)
OTHER = signatures.sendgrid_public_key(signatures.new_sendgrid_key())
URL = "https://desk.example.org/webhooks/twilio/inbound"

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
FORMS = st.dictionaries(TEXTS.filter(bool), st.lists(TEXTS, min_size=1, max_size=3), max_size=6)
PATHS = st.lists(st.text("abcXYZ019-._~", min_size=1, max_size=8), max_size=4).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.lists(st.tuples(st.text("abc", min_size=1, max_size=4), TEXTS), max_size=3).map(urlencode)
HOSTS = st.sampled_from(["desk.example.org", "127.0.0.1", "a-b.test"])
PORTS = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda port: f":{port}"))
URLS = st.builds(
    lambda scheme, host, port, path, query: f"{scheme}://{host}{port}{path}" + (f"?{query}" if query else ""),
    st.sampled_from(["https", "http"]),
    HOSTS,
    PORTS,
    PATHS,
    QUERIES,
)


def theirs(form: dict[str, list[str]]) -> MultiDict[str, str]:
    return MultiDict([(name, value) for name, values in form.items() for value in values])


class Several(dict[str, list[str]]):
    """A form as Twilio's library reads it: asked for all values of a name."""

    def getall(self, name: str) -> list[str]:
        return self[name]


@given(URLS, FORMS)
@example(URL, {"A": ["b", "a", "a"], "a": [""]})
def test_twilios_library_accepts_our_signature_of_a_form_and_we_accept_theirs(
    url: str, form: dict[str, list[str]]
) -> None:
    official = RequestValidator(TOKEN)
    assert official.validate(url, Several(form), signatures.sign_twilio(TOKEN, url, form))
    signed = official.compute_signature(url, Several(form))
    pairs = [(name, value) for name, values in form.items() for value in values]
    for sent in (form, theirs(form), pairs, reversed(pairs)):
        assert signatures.verify_twilio(TOKEN, url, sent, signed)


@given(URLS, st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_a_json_body_is_signed_by_its_hash_in_the_url(url: str, body: str) -> None:
    raw = body.encode()
    url += ("&" if "?" in url else "?") + "bodySHA256=" + hashlib.sha256(raw).hexdigest()
    official = RequestValidator(TOKEN)
    assert official.validate(url, body, signatures.sign_twilio(TOKEN, url))
    signed = official.compute_signature(url, {})
    assert signatures.verify_twilio(TOKEN, url, raw, signed)
    assert not signatures.verify_twilio(TOKEN, url, raw + b" ", signed)


def test_a_json_body_without_its_hash_in_the_url_is_signed_by_nobody() -> None:
    assert not signatures.verify_twilio(TOKEN, URL, b"{}", signatures.sign_twilio(TOKEN, URL))


@pytest.mark.parametrize(
    ("signed_as", "seen_as"),
    [
        ("https://desk.example.org:443/w", "https://desk.example.org/w"),
        ("https://desk.example.org/w", "https://desk.example.org:443/w"),
        ("https://desk.example.org/w?a=b", "https://desk.example.org:8443/w?a=b"),
        ("http://desk.example.org:80/w", "http://desk.example.org/w"),
        ("https://[2001:db8::1]/w", "https://[2001:db8::1]:443/w"),
        ("https://user:pass@desk.example.org/w", "https://user:pass@desk.example.org:443/w"),
    ],
)
def test_the_port_may_be_in_the_signed_url_or_not(signed_as: str, seen_as: str) -> None:
    assert signatures.verify_twilio(TOKEN, seen_as, {"A": "1"}, signatures.sign_twilio(TOKEN, signed_as, {"A": "1"}))


@given(FORMS, st.data())
def test_an_altered_form_path_or_token_is_refused(form: dict[str, list[str]], data: st.DataObject) -> None:
    signed = signatures.sign_twilio(TOKEN, URL, form)
    name, value = data.draw(TEXTS.filter(bool)), data.draw(TEXTS)
    assume(value not in form.get(name, []))
    altered = {**form, name: [*form.get(name, []), value]}
    # Twilio puts no mark between names and values, so another form may mean the same bytes.
    assume(RequestValidator(TOKEN).compute_signature(URL, Several(altered)) != signed)
    assert not signatures.verify_twilio(TOKEN, URL, altered, signed)
    for url in (URL + "/", URL.replace("inbound", "status"), URL + "?a=b", URL.replace("https", "http")):
        assert not signatures.verify_twilio(TOKEN, url, form, signed)
    assert not signatures.verify_twilio("another", URL, form, signed)


@pytest.mark.parametrize("signature", ["", "=", "é", "\udcff", "A" * 28, "A" * 100_000])
def test_what_is_no_signature_of_twilios_is_refused_also_where_no_token_is_set(signature: str) -> None:
    assert not signatures.verify_twilio(TOKEN, URL, {}, signature)
    assert not signatures.verify_twilio("", URL, {}, signature)
    assert not signatures.verify_twilio("", URL, {}, signatures.sign_twilio("", URL))
    assert not signatures.verify_twilio(TOKEN, "https://desk.example.org:no/w", {}, signature)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=300), st.integers(0, 2**33).map(str))
def test_sendgrids_library_accepts_our_signature_and_we_accept_theirs(body: str, timestamp: str) -> None:
    raw = body.encode()
    signed = signatures.sign_sendgrid(KEY, timestamp, raw)
    assert EventWebhook(PUBLIC).verify_signature(body, signed, timestamp)
    assert signatures.verify_sendgrid(PUBLIC, timestamp, raw, signed)
    assert not signatures.verify_sendgrid(PUBLIC, timestamp, raw + b" ", signed)
    assert not signatures.verify_sendgrid(PUBLIC, timestamp + "0", raw, signed)
    assert not signatures.verify_sendgrid(OTHER, timestamp, raw, signed)


def test_a_known_sendgrid_webhook_is_accepted() -> None:
    """The example that SendGrid's own libraries are tested with."""
    public = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVp"
        "iglSI8eNEc6wEA3F+g=="
    )
    signed = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":'
        b'"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":'
        b'"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":'
        b'"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    assert EventWebhook(public).verify_signature(body.decode(), signed, "1600112502")
    assert signatures.verify_sendgrid(public, "1600112502", body, signed)


@pytest.mark.parametrize("signature", ["", "no base64!", "AAAA", "é", "\udcff", "A" * 100_000])
def test_what_is_no_signature_of_sendgrids_is_refused_also_where_no_key_is_set(signature: str) -> None:
    assert not signatures.verify_sendgrid(PUBLIC, "1", b"[]", signature)
    assert not signatures.verify_sendgrid("", "1", b"[]", signatures.sign_sendgrid(KEY, "1", b"[]"))


@pytest.mark.parametrize("setting", ["no key", "AAAA", PUBLIC[:-8]])
def test_a_wrong_setting_is_told_and_not_taken_for_a_forged_webhook(setting: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        signatures.verify_sendgrid(setting, "1", b"[]", "AAAA")


def test_sendgrids_key_may_stand_in_pem() -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\n{PUBLIC[:64]}\n{PUBLIC[64:]}\n-----END PUBLIC KEY-----\n"
    assert signatures.verify_sendgrid(pem, "1", b"[]", signatures.sign_sendgrid(KEY, "1", b"[]"))


@given(st.binary(max_size=300))
def test_whatsapps_signature_is_the_bodys_hmac_and_of_no_other_body_or_secret(body: bytes) -> None:
    signed = "sha256=" + hmac.new(b"app-secret", body, hashlib.sha256).hexdigest()
    assert signatures.sign_whatsapp("app-secret", body) == signed
    assert signatures.verify_whatsapp("app-secret", body, signed)
    assert not signatures.verify_whatsapp("app-secret", body + b" ", signed)
    assert not signatures.verify_whatsapp("another", body, signed)
    for wrong in ("", signed.removeprefix("sha256="), signed.upper(), signed[:-1], "sha1=" + signed[7:], "\udcff"):
        assert not signatures.verify_whatsapp("app-secret", body, wrong)


def test_an_app_without_a_secret_accepts_nothing() -> None:
    assert not signatures.verify_whatsapp("", b"{}", signatures.sign_whatsapp("", b"{}"))
