"""Alters tokens, so that what was altered is surely another. Says nothing of what a token means."""

from __future__ import annotations


def altered(token: str) -> str:
    """`token` with another first character: the last one of Base64 has bits that mean nothing, the first has none."""
    return ("b" if token[0] == "a" else "a") + token[1:]
