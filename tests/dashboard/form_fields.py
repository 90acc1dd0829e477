"""Owns the fields of a form in a page as a browser without scripts sends them."""

from __future__ import annotations

from html.parser import HTMLParser

_UNSENT = frozenset({"submit", "button", "image", "reset", "file"})


class _Reader(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.fields: dict[str, list[str]] = {}
        self.buttons: list[str] = []
        self._inside = False
        self._select = ""
        self._chosen: list[str] = []
        self._first: list[str] = []
        self._option: tuple[bool, str | None] | None = None
        self._text: list[str] | None = None
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        if tag == "form":
            self._inside = has.get("id") == self.form_id
        if not self._inside:
            return
        name = has.get("name") or ""
        if tag == "input" and name and has.get("type") not in _UNSENT:
            if has.get("type") not in ("checkbox", "radio") or "checked" in has:
                self.fields.setdefault(name, []).append(has.get("value") or "")
        elif tag == "button" and name == "act":
            self.buttons.append(has.get("value") or "")
        elif tag == "select":
            self._select, self._chosen, self._first = name, [], []
        elif tag == "option":
            self._option, self._text = ("selected" in has, has.get("value")), []
        elif tag == "textarea":
            self._area, self._text = name, []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" and self._option is not None:
            selected, value = self._option
            said = "".join(self._text or ()) if value is None else value
            self._first = self._first or [said]
            self._chosen += [said] if selected else []
            self._option = self._text = None
        elif tag == "select" and self._select:
            self.fields[self._select] = (self._chosen or self._first)[-1:]
            self._select = ""
        elif tag == "textarea" and self._area:
            self.fields[self._area] = ["".join(self._text or ()).removeprefix("\n")]
            self._area, self._text = "", None
        elif tag == "form":
            self._inside = False


def fields_of(html: str, form_id: str) -> dict[str, list[str]]:
    """What the form would send, without a button: a list of values for each name."""
    reader = _Reader(form_id)
    reader.feed(html)
    return reader.fields


def buttons_of(html: str, form_id: str) -> list[str]:
    """The values of its buttons that are called "act"."""
    reader = _Reader(form_id)
    reader.feed(html)
    return reader.buttons
