"""The sandbox's own page: the texts that went out and came back, newest first, and answering them. Owns no state."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import parse_qs

from dispatchlog.gateways.outreach_sandbox_messages import Message, Traffic
from dispatchlog.gateways.sandbox_http import Answer

_MOST_SHOWN = 200
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:1rem auto;max-width:46rem;padding:0 1rem;color:#1b1f24;background:#fff}"
    "article{border:1px solid #c9d0d8;border-radius:.75rem;padding:.5rem 1rem;margin:.75rem 4rem .75rem 0}"
    "article.in{margin:.75rem 0 .75rem 4rem;background:#e8f3ec}"
    "p{white-space:pre-wrap;margin:.25rem 0;overflow-wrap:anywhere}"
    "small{color:#55606b}form{display:flex;gap:.5rem;margin:.5rem 0}input{flex:1;min-width:0}"
    "input,button{font:inherit;padding:.25rem .5rem;min-height:2rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#15181c}article{border-color:#48515b}"
    "article.in{background:#1d3226}small{color:#a9b3bd}}@media(max-width:30rem){article,article.in{margin-inline:0}}"
)
_NAMES = {"twilio": "Twilio", "sendgrid": "SendGrid", "whatsapp": "WhatsApp", "sms": "SMS", "email": "e-mail"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Page:
    """Answers (method, path, body).

    `GET /messages` is for people, `GET /messages.json` for programs; `POST /messages/{number}/answer` with `text` answers a
    message as its patient; `POST /sandbox/script` is `Script.load`.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        path = path.partition("?")[0]
        if method == "GET" and path in ("/", "/messages"):
            return 200, self._page(), _HEADERS
        if method == "GET" and path == "/messages.json":
            return 200, [message.as_json() for message in self._traffic.messages()]
        try:
            if method == "POST" and path == "/sandbox/script":
                self._traffic.script.load(json.loads(body))
                return 200, {}
            if method == "POST" and path.startswith("/messages/") and path.endswith("/answer"):
                return self._answer(path.split("/")[2], body)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return 400, {"code": "BAD_REQUEST", "message": str(error)}
        return 404, {"code": "NO_SUCH_ADDRESS"}

    def _answer(self, number: str, body: bytes) -> Answer:
        text = parse_qs(body.decode("utf-8", "replace")).get("text", [""])[0].strip()
        message = next((each for each in self._traffic.messages() if str(each.number) == number), None)
        if message is None or message.inbound or message.provider not in self._traffic.answering:
            return 404, {"code": "NO_SUCH_MESSAGE"}
        if not text:
            return 400, {"code": "TEXT_EMPTY", "message": "An answer has a text."}
        self._traffic.answering[message.provider](message, text)
        return 303, "", {"Location": "/messages"}

    def _page(self) -> str:
        messages = self._traffic.messages()[: -_MOST_SHOWN - 1 : -1]
        shown = "".join(self._shown(message) for message in messages)
        empty = "<p>Nothing has gone out yet. Texts appear here as the product sends them.</p>"
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox messages</title>'
            '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
            f"<style>{_STYLE}</style></head><body><main><h1>Sandbox messages</h1>"
            "<p>What would have reached phones and mailboxes. Nothing here leaves this machine.</p>"
            f'<p><a href="/messages">Look again</a></p>{shown or empty}</main></body></html>'
        )

    def _shown(self, message: Message) -> str:
        who = f"from {message.sender}" if message.inbound else f"to {message.to}"
        facts = [_NAMES[message.provider], _NAMES[message.channel], who, f"{message.at:%H:%M:%S} UTC", message.status]
        facts = [*dict.fromkeys(facts)]
        facts += [f"code {message.code}"] if message.code is not None else []
        subject = f"<strong>{escape(message.subject)}</strong>" if message.subject else ""
        return (
            f'<article class="{"in" if message.inbound else "out"}" lang="">{subject}'
            f'<p dir="auto">{escape(message.text)}</p>'
            f"<small>{escape(' · '.join(facts))}</small>{self._form(message)}</article>"
        )

    def _form(self, message: Message) -> str:
        if message.inbound or message.provider not in self._traffic.answering:
            return ""
        label: Any = escape(f"Answer as {message.to}", quote=True)
        return (
            f'<form method="post" action="/messages/{message.number}/answer">'
            f'<input name="text" aria-label="{label}" placeholder="{label}" maxlength="500" required>'
            "<button>Answer</button></form>"
        )
