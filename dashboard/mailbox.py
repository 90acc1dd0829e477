"""The development mailbox: what the local mail server kept. Shows; there is none in production.

A mail's HTML is served by an address of its own, sandboxed by its own policy, and framed: it can run nothing, reach
nothing and belongs to no origin.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, render_template, request

from dashboard.access import REVEAL, needs
from dashboard.context import settings
from dispatchlog.local.mailbox import Mail, UnknownMailError, list_messages, read_message

pages = Blueprint("mailbox", __name__)

PAGE_MAILS = 50
FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
)


@pages.get("/mailbox")
@needs(REVEAL)
def every_mail() -> str:
    """The newest mails."""
    try:
        mails = list_messages(settings().effective_mailbox_dir, limit=PAGE_MAILS + 1, before=request.args.get("before"))
    except UnknownMailError:
        abort(404)
    more = len(mails) > PAGE_MAILS
    return render_template("mailbox.html", mails=mails[:PAGE_MAILS], older=mails[PAGE_MAILS - 1].key if more else None)


@pages.get("/mailbox/<key>")
@needs(REVEAL)
def one_mail(key: str) -> str:
    """One mail: as HTML, or with `part=text` or `part=headers` those."""
    mail = _read(key)
    part = request.args.get("part", "html" if mail.html else "text")
    return render_template("mail.html", mail=mail, part=part if part in ("html", "text", "headers") else "text")


@pages.get("/mailbox/<key>/html")
@needs(REVEAL)
def mail_html(key: str) -> Response:
    """The mail's HTML alone, for the frame; its links open in a tab of their own."""
    response = Response('<base target="_blank">' + _read(key).html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    return response


def _read(key: str) -> Mail:
    try:
        return read_message(settings().effective_mailbox_dir, key)
    except UnknownMailError:
        abort(404)
