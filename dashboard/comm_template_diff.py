"""What is different between two versions of a template, word by word. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

_WORDS = re.compile(r"\w+|\s|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Part:
    """Some text that is `same`, `gone` or `new`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a template that is not the same, in words."""

    title: str
    parts: Sequence[Part]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Whatever differs between two versions; nothing where they say the same."""
    found = []
    before, after = _documents(old), _documents(new)
    for title in dict.fromkeys((*before, *after)):
        left, right = before.get(title, ""), after.get(title, "")
        if left != right:
            found.append(Difference(title, parts(left, right)))
    return found


def parts(old: str, new: str) -> list[Part]:
    """The two texts as one, with what is gone and what is new."""
    left, right = _WORDS.findall(old), _WORDS.findall(new)
    found: list[Part] = []
    for kind, begin, end, start, stop in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Part("same", "".join(left[begin:end])))
            continue
        found += [Part("gone", "".join(left[begin:end]))] if end > begin else []
        found += [Part("new", "".join(right[start:stop]))] if stop > start else []
    return found


def _documents(version: Mapping[str, Any]) -> dict[str, str]:
    outside = version["provider_template"]
    documents = {
        "Subject": version["subject"] or "",
        "Text": version["body"],
        "Variables": "\n".join(_variable(each) for each in version["variables"]),
        "Template at the provider": "\n".join(f"{key}: {_flat(value)}" for key, value in sorted(outside.items())),
    }
    for each in version["variants"]:
        subject = f"{each['subject']}\n" if each["subject"] else ""
        documents[f"Variant {each['name']}"] = f"share {each['weight']}\n{subject}{each['body']}"
    return documents


def _variable(document: Mapping[str, Any]) -> str:
    words = [document["kind"], "needed" if document["required"] else "not needed"]
    words += ["about health"] if document["is_phi"] else []
    words += [f"such as {document['example']}"] if document["example"] else []
    return f"{document['name']}: {', '.join(words)}"


def _flat(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
