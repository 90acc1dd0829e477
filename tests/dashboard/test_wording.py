"""The words of the pages: who acted, and what is masked inside what others said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboard.masking import mask_text
from dashboard.wording import actor

SOURCES = [Path("scheduler.py"), *Path("dispatchlog/engine").glob("*.py"), *Path("dispatchlog/systems").glob("*.py")]
# `compose` stores bytes and moves nothing.
SIGNATURES = {
    found
    for source in SOURCES
    for found in re.findall(r'(?:transaction\(f?|actor=f|WHO = f)"([a-z-]+:?)', source.read_text())
} - {"compose"}


def test_every_signature_of_the_engine_is_found() -> None:
    assert {"worker:", "rescuer:", "look-up:", "service:", "scheduler:", "sweep"} <= SIGNATURES


@pytest.mark.parametrize("signature", sorted(SIGNATURES))
def test_every_actor_of_the_engine_has_words(signature: str) -> None:
    name = f"{signature}5" if signature.endswith(":") else signature
    words = actor(name)
    assert words != name
    assert ":" not in words
    assert "{}" not in words


@pytest.mark.parametrize("name", ["ada@example.org", "a{0}b@example.org", "worker", "unheard-of:7"])
def test_who_has_no_words_goes_by_name(name: str) -> None:
    assert actor(name) == name


def test_our_message_ids_stay_readable_in_what_a_server_said() -> None:
    message_id = "01a1fcf6-4252-7648-9b0d-98a91f8f9b3b-2@dispatchlog.localhost"
    said = f"250 2.6.0 <{message_id}> queued for <ada.lovelace@example.org>"
    assert mask_text(said) == f"250 2.6.0 <{message_id}> queued for <a•••@example.org>"
