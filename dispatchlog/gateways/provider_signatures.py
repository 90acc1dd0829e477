"""Owns how Twilio, SendGrid and WhatsApp sign their webhooks, and checking it. Pure; never judges how old one is.

Twilio: base64 of HMAC-SHA1 over the URL and the sorted parameters (twilio.com/docs/usage/security). SendGrid: ECDSA P-256
with SHA-256 over timestamp and raw body (its "Event Webhook security features"). WhatsApp: HMAC-SHA256 over the raw body,
in hex (Meta's "Webhooks: validating payloads"). Each comparison takes the same time wherever two signatures differ.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

TWILIO_HEADER = "X-Twilio-Signature"
SENDGRID_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
WHATSAPP_HEADER = "X-Hub-Signature-256"
_WHATSAPP_PREFIX = "sha256="
_BODY_HASH = "bodySHA256"
_PORTS = {"https": 443, "http": 80}
_ECDSA = ec.ECDSA(hashes.SHA256())

# A form's fields by name or as pairs, or the raw bytes of a body that is no form.
Sent = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]] | bytes


def verify_twilio(token: str, url: str, sent: Sent, signature: str) -> bool:
    """Whether Twilio signed this request.

    Args:
        token: the account's auth token; "" fits nothing.
        url: as Twilio has it, with its query string; its port may be written or not, for Twilio does both.
        sent: the form's fields (every value of a repeated one), or the bytes of a body that is no form: the URL then has to
            hold their hash as `bodySHA256`.
    """
    if not token:
        return False
    fits = True
    if isinstance(sent, bytes):
        said = parse_qs(urlsplit(url).query).get(_BODY_HASH, [""])[0]
        fits = _same(said, hashlib.sha256(sent).hexdigest())
    parameters = _parameters(sent)
    known = False
    for each in _spellings(url):
        known |= _same(signature, _twilio(token, each, parameters))
    return known and fits


def sign_twilio(token: str, url: str, sent: Sent = ()) -> str:
    """What Twilio puts into `TWILIO_HEADER`; for a body that is no form, `url` already holds its hash."""
    return _twilio(token, url, _parameters(sent))


def _twilio(token: str, url: str, parameters: str) -> str:
    signed = (url + parameters).encode("utf-8", "replace")
    return base64.b64encode(hmac.new(token.encode(), signed, hashlib.sha1).digest()).decode()


def _parameters(sent: Sent) -> str:
    """Names in order, each with its values in order, each value once: so Twilio's own libraries read repeats."""
    return "".join(name + value for name, value in sorted(set(_pairs(sent))))


def _pairs(sent: Sent) -> Iterable[tuple[str, str]]:
    if isinstance(sent, bytes):
        return
    if not isinstance(sent, Mapping):
        yield from sent
        return
    for name in sent:
        values = _values(sent, name)
        for value in [values] if isinstance(values, str) else values:
            yield name, value


def _values(sent: Any, name: str) -> str | Sequence[str]:
    """A web framework's form gives only the first value unless it is asked for the list."""
    every = getattr(sent, "getlist", None)
    found: str | Sequence[str] = sent[name] if every is None else every(name)
    return found


def _spellings(url: str) -> set[str]:
    """The URL as it is, without its port and with it."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return {url}
    bare = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    found = {url, _at(parts, bare)}
    return found if port is None else found | {_at(parts, f"{bare}:{port}")}


def _at(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()


def verify_sendgrid(public_key: str, timestamp: str, body: bytes, signature: str) -> bool:
    """Whether SendGrid signed this body at this timestamp.

    Args:
        public_key: as SendGrid's page shows it (base64 of the DER form; PEM's first and last line may stand around it); ""
            fits nothing.

    Raises:
        ValueError: the setting holds no such key.
    """
    if not public_key:
        return False
    key = _public_key(public_key)
    try:
        said = base64.b64decode(signature, validate=True)
        key.verify(said, timestamp.encode() + body, _ECDSA)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_sendgrid(private_key: str, timestamp: str, body: bytes) -> str:
    """What SendGrid puts into `SENDGRID_HEADER`; `private_key` is PEM."""
    return base64.b64encode(_private_key(private_key).sign(timestamp.encode() + body, _ECDSA)).decode()


def new_sendgrid_key() -> str:
    """A private key such as SendGrid has, in PEM; for what stands in for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def sendgrid_public_key(private_key: str) -> str:
    """The public half, as SendGrid's page would show it."""
    public = _private_key(private_key).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@lru_cache(maxsize=8)
def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    lines = [line.strip() for line in text.splitlines() if not line.startswith("-----")]
    key = load_der_public_key(base64.b64decode("".join(lines), validate=True))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("SendGrid's webhook key is an elliptic curve's")
    return key


@lru_cache(maxsize=8)
def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("SendGrid's webhook key is an elliptic curve's")
    return key


def verify_whatsapp(app_secret: str, body: bytes, signature: str) -> bool:
    """Whether Meta signed these bytes; `signature` is the whole header, "sha256=..."; an app without a secret has none."""
    return bool(app_secret) and _same(signature, sign_whatsapp(app_secret, body))


def sign_whatsapp(app_secret: str, body: bytes) -> str:
    """What Meta puts into `WHATSAPP_HEADER`."""
    return _WHATSAPP_PREFIX + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def _same(said: str, right: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), right.encode())
