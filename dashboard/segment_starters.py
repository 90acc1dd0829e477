"""Rules to begin with: what clinics ask most. Owns the documents; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _all(*rules: Mapping[str, Any], word: str = "and") -> dict[str, Any]:
    return {"combinator": word, "not": False, "rules": list(rules)}


def _is(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def _within(field: str, operator: str, amount: int, unit: str) -> dict[str, Any]:
    return _is(field, operator, {"amount": amount, "unit": unit})


def _of(field: str, mode: str, *rules: Mapping[str, Any], threshold: int | None = None) -> dict[str, Any]:
    match: dict[str, Any] = {"mode": mode} | ({} if threshold is None else {"threshold": threshold})
    return {"field": field, "operator": "", "match": match, "value": _all(*rules)}


STARTERS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "older-unreached": (
            "65 or older, not written to for a month",
            _all(_is("age", ">=", 65), _of("messages", "none", _within("sent", "inLast", 30, "days"))),
        ),
        "missed": (
            "Missed an appointment and have no next one",
            _all(
                _of("appointments", "some", _is("status", "=", "no_show"), _within("starts", "inLast", 90, "days")),
                _of("appointments", "none", _within("starts", "inNext", 12, "months")),
            ),
        ),
        "silent": (
            "Got three messages and opened none",
            _all(
                _of("messages", "atLeast", _within("sent", "inLast", 90, "days"), threshold=3),
                _of("messages", "none", _is("opened", "notNull", None)),
            ),
        ),
    }
)
