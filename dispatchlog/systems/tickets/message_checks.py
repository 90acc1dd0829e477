"""What a message must be like before it is stored: its text, and what is told of its attachments. No database."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import unquote, urlsplit

from dispatchlog.systems.tickets.inputs import MOST_ATTACHMENTS, MOST_BODY, AttachmentInput, MessageInput, TicketError

MOST_BYTES = 1 << 30
_MOST_NAME = 255
MOST_URL = 2_000

# C0 and C1 controls (a message may hold tabs and line breaks), and halves of characters, which no UTF-8 can carry.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_IN_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029/\\:*?\"<>|]")
# They turn the order in which a name is shown round, so that one kind of file looks like another.
_TURNING = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")  # RFC 6838 section 4.2
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # RFC 3986 section 2, without what browsers read as something else


def checked_body(given: MessageInput) -> str:
    """The text with line ends as line feeds; "" where there is nothing but attachments.

    Raises:
        TicketError: INVALID_TEXT, MESSAGE_TOO_LONG, MESSAGE_EMPTY.
    """
    body = given.body.replace("\r\n", "\n").replace("\r", "\n")
    found = _UNWRITABLE.search(body)
    if found:
        message = f"the message holds a character that cannot be shown, U+{ord(found[0]):04X}; take it out"
        raise TicketError(message, code="INVALID_TEXT", field="body")
    if len(body) > MOST_BODY:
        message = f"the message has {len(body)} characters, and {MOST_BODY} are the most; send it in parts"
        raise TicketError(message, code="MESSAGE_TOO_LONG", field="body")
    if not _is_blank(body):
        return body
    if not given.attachments:
        raise TicketError("the message is empty; write something or attach a file", code="MESSAGE_EMPTY", field="body")
    return ""


def checked_attachments(given: MessageInput) -> list[dict[str, Any]]:
    """As they are stored: name, media_type, size_bytes, sha256, url.

    Raises:
        TicketError: ATTACHMENT_INVALID; `field` is attachments[0].name, ...
    """
    if len(given.attachments) > MOST_ATTACHMENTS:
        raise _refused("attachments", f"{MOST_ATTACHMENTS} attachments are the most of one message")
    return [_checked(attachment, f"attachments[{at}]") for at, attachment in enumerate(given.attachments)]


def _checked(given: AttachmentInput, where: str) -> dict[str, Any]:
    if _objection_to_name(given.name):
        raise _refused(f"{where}.name", _objection_to_name(given.name))
    media_type = given.media_type.lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise _refused(f"{where}.media_type", "a media type is like application/pdf, without parameters")
    if isinstance(given.size_bytes, bool) or not 0 < given.size_bytes <= MOST_BYTES:
        raise _refused(f"{where}.size_bytes", f"a file has 1 to {MOST_BYTES} bytes")
    sha256 = given.sha256.lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _refused(f"{where}.sha256", "a SHA-256 has 64 hexadecimal digits")
    if given.url and _objection_to_url(given.url):
        raise _refused(f"{where}.url", _objection_to_url(given.url))
    return {
        "name": given.name,
        "media_type": media_type,
        "size_bytes": given.size_bytes,
        "sha256": sha256,
        "url": given.url,
    }


def _objection_to_name(name: str) -> str:
    if _is_blank(name) or name != name.strip() or name.strip(".") == "":
        return "a file's name is not empty, not dots alone, and has no spaces around it"
    if len(name) > _MOST_NAME:
        return f"a file's name has {_MOST_NAME} characters at the most"
    if _IN_NAME.search(name) or _TURNING.search(name):
        return "a file's name has no path, no control character and nothing that turns its letters round"
    return ""


def _objection_to_url(url: str) -> str:
    if len(url) > MOST_URL or not _URL.fullmatch(url):
        return f"an address has {MOST_URL} characters at the most, all of them of RFC 3986"
    try:
        parts = urlsplit(url)
        known = (parts.hostname, parts.port)
    except ValueError:
        return "this is no address"
    if parts.scheme != "https" or not known[0] or parts.username is not None or parts.password is not None:
        return "an address begins with https://, names a host and holds no password"
    path = unquote(unquote(parts.path))
    if "\\" in path or any(step in (".", "..") for step in path.split("/")) or _UNWRITABLE.search(path):
        return "an address has no steps up or aside in its path"
    return ""


def _is_blank(text: str) -> bool:
    """Nothing that anybody could see: spaces and marks without width."""
    return all(character.isspace() or unicodedata.category(character) == "Cf" for character in text)


def _refused(field: str, message: str) -> TicketError:
    return TicketError(message, code="ATTACHMENT_INVALID", field=field)
