"""What a dispatch says, as a person may read it: the stored bytes taken apart, with names, addresses, numbers and links
masked. Owns the taking apart; sends and stores nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import structlog

from dashboard.connection import DATABASE_ERRORS
from dashboard.dispatch_queries import stored_body
from dashboard.masking import mask_text, names_masker
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.sealing import CannotUnsealError

log = structlog.get_logger(__name__)

# More than this of a body is not shown.
LONGEST_BODY = 262_144
# A link may carry a key that opens somebody's form.
_LINK = re.compile(r"(https?://[^\s/\"'<>?#]+)[/?#][^\s\"'<>]*")
# A patient's own page, which opens for whoever has the link.
_PATIENTS_LINK = re.compile(r"(/p/(?:prefs/)?)[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_SHOWN_HEADERS = ("Subject", "From", "To", "Reply-To", "Date", "Message-ID")


@dataclass(frozen=True, slots=True)
class Content:
    """What was stored, taken apart. `text` is the plain part; `html` stands in a frame of its own.

    What cannot be read well enough to be masked is `withheld`. A `preview` was written for the page alone, as it would be
    written now; nothing of it is stored or sent.
    """

    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""
    html: str = ""
    cut: bool = False
    withheld: bool = False
    preview: bool = False


def content_of(lane: Lane, row: Row, *, revealed: bool = False) -> Content | None:
    """The newest content of the dispatch, masked unless it was revealed, but for links to patients' own pages; of one that
    is not written yet a preview, which is always masked, for its links would work. None where nothing was or can be
    written.
    """
    try:
        found = _bytes_of(lane, row)
    except CannotUnsealError:
        log.error("CONTENT_NOT_READ", lane=lane.name, dispatch_id=str(row["id"]))
        return Content("", withheld=True)
    if found is not None:
        return _taken_apart(*found, mask_patients_links) if revealed else _masked(lane, row, *found)
    found = _preview(lane, row)
    return replace(_masked(lane, row, *found), preview=True) if found is not None else None


def _masked(lane: Lane, row: Row, content_type: str, body: bytes) -> Content:
    try:
        names = [*_addressees(content_type, body), *(lane.persons(row, body) if lane.persons else ())]
    except DATABASE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  (whatever it is, what cannot be masked is not shown)
        # Without knowing whom it names nothing of it can be shown; the fault's own words may name them.
        log.error("PERSONS_NOT_READ", lane=lane.name, dispatch_id=str(row["id"]), error=type(error).__name__)
        return Content(content_type, withheld=True)
    hide_names = names_masker(names)
    return _taken_apart(content_type, body, lambda text: hide_names(mask_content(text)))


def _addressees(content_type: str, body: bytes) -> list[str]:
    """The names beside a mail's addresses."""
    if content_type != "message/rfc822":
        return []
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(body)
    headers = [message[name] for name in ("To", "Cc") if message[name]]
    return [address.display_name for header in headers for address in header.addresses if address.display_name]


def _taken_apart(content_type: str, body: bytes, hide: Callable[[str], str]) -> Content:
    cut = len(body) >= LONGEST_BODY
    if content_type == "message/rfc822":
        return _mail(body, hide, cut=cut)
    if content_type.endswith("json"):
        return Content(content_type, text=hide(_indented(body)), cut=cut)
    if content_type.startswith("text/html"):
        return Content(content_type, html=hide(body.decode("utf-8", "replace")), cut=cut)
    if content_type.startswith("application/hl7-v2"):
        lines = body.decode("utf-8", "replace").replace("\r", "\n").strip()  # a segment ends with CR alone
        return Content(content_type, text=hide(lines), cut=cut)
    if content_type.startswith("text/"):
        return Content(content_type, text=hide(body.decode("utf-8", "replace")), cut=cut)
    return Content(content_type, cut=cut)


def mask_content(text: str) -> str:
    """Addresses and telephone numbers masked, and links up to the server's name."""
    return mask_text(_LINK.sub(r"\1/•••", text))


def mask_patients_links(text: str) -> str:
    """The text with the keys to patients' own pages masked: they are for nobody else, whatever may be seen besides."""
    return _PATIENTS_LINK.sub(r"\1•••", text)


def _bytes_of(lane: Lane, row: Row) -> tuple[str, bytes] | None:
    if not lane.body_on_row:
        stored = stored_body(row["id"], most=LONGEST_BODY)
        if lane.says is None or (stored is not None and stored[0] == "message/rfc822"):
            return stored
        said = lane.says(row)
        return said.content_type, said.body[:LONGEST_BODY]
    try:
        letter = lane.compose(row)  # it only copies what the row holds
    except CannotCompose:
        return None
    return letter.content_type, letter.body[:LONGEST_BODY]


def _preview(lane: Lane, row: Row) -> tuple[str, bytes] | None:
    """As the lane would write it at this moment, where it still may be sent; composing has no effects."""
    if row["status"] not in ("PENDING", "FAILED") or row["in_doubt"]:
        return None
    try:
        letter = lane.compose({**row, "claimed_at": datetime.now(UTC)})
    except CannotCompose:
        return None  # the page says elsewhere what is wrong with it
    except DATABASE_ERRORS:
        raise
    except Exception:
        log.exception("PREVIEW_FAILED", lane=lane.name, dispatch_id=str(row["id"]))
        return None
    return letter.content_type, letter.body[:LONGEST_BODY]


def _mail(body: bytes, hide: Callable[[str], str], *, cut: bool) -> Content:
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(body)
    headers = tuple((name, hide(str(message[name]))) for name in _SHOWN_HEADERS if message[name])
    return Content("message/rfc822", headers, hide(_part(message, "plain")), hide(_part(message, "html")), cut=cut)


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    try:
        return str(part.get_content()) if part is not None else ""
    except (LookupError, ValueError):  # an unknown character set
        return ""


def _indented(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False, sort_keys=True)
    except ValueError:
        return body.decode("utf-8", "replace")
