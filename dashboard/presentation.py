"""What templates may call: instants, masks, states and words. Owns the formats; reads no row and no session."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, current_app

from dashboard import preferences, wording
from dashboard.cause_wording import cause_words
from dashboard.courier_wording import courier_title, order_state
from dashboard.lanes import visible_lanes
from dashboard.masking import mask, mask_name, mask_text, mask_values
from dispatchlog.row_content import HASHED

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def install_presentation(app: Flask) -> None:
    """Give the templates their filters and globals."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        instant=instant,
        exact=exact,
        ago=ago,
        mask=mask,
        mask_text=mask_text,
        pretty=pretty,
        evidence_facts=evidence_facts,
        business_keys=business_keys,
        upper_first=upper_first,
        duration=duration,
    )
    app.jinja_env.globals.update(
        STATES=wording.STATES,
        GLOSSARY=wording.GLOSSARY,
        state_of=wording.state_of,
        states_of=wording.states_of,
        verb_of=wording.verb_of,
        cause_words=cause_words,
        RETRY_REASONS=wording.RETRY_REASONS,
        order_state=order_state,
        courier_title=courier_title,
        mask_name=mask_name,
    )
    app.context_processor(_layout)


def _layout() -> dict[str, Any]:
    settings = current_app.config["DISPATCHLOG_SETTINGS"]
    return {
        "nav_lanes": visible_lanes,
        "development": settings.environment == "development",
        "now": datetime.now(UTC),
    }


def exact(at: datetime) -> str:
    """`14 Mar 2026, 10:22:07 UTC`, whatever the viewer's time zone."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b} {at.year}, {at:%H:%M:%S} UTC"


def instant(at: datetime | None, *, short: bool = False, seconds: bool = False) -> str:
    """In the viewer's zone: `14 Mar 2026, 10:22 UTC`, with seconds `14 Mar 2026, 10:22:07 UTC`, short `14 Mar, 10:22`."""
    if at is None:
        return "\N{EN DASH}"
    at = at.astimezone(preferences.zone())
    day = f"{at.day} {at:%b}"
    if short:
        return f"{day}, {at:%H:%M}"
    return f"{day} {at.year}, {at:%H:%M:%S %Z}" if seconds else f"{day} {at.year}, {at:%H:%M %Z}"


def ago(at: datetime, now: datetime | None = None) -> str:
    """`3 min ago`, `in 2 h`; the browser keeps it current."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    amount = _amount(abs(seconds))
    if amount == "now":
        return "just now" if seconds >= 0 else "in a moment"
    return f"{amount} ago" if seconds > 0 else f"in {amount}"


def _amount(seconds: float) -> str:
    if seconds < 10:
        return "now"
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} days"


def duration(milliseconds: float) -> str:
    """`84 ms`, `1.3 s`."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def pretty(value: Any) -> str:
    """Evidence as indented JSON, masked."""
    return json.dumps(mask_values(value), indent=2, ensure_ascii=False, sort_keys=True)


def evidence_facts(evidence: Any) -> list[tuple[str, str]]:
    """Evidence as pairs of a label and its text, masked."""
    if not isinstance(evidence, Mapping):
        return []
    masked = mask_values(evidence)
    return [(wording.EVIDENCE.get(name, name.replace("_", " ").capitalize()), _plain(masked[name])) for name in masked]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\N{EN DASH}" if value is None else str(value)


def business_keys(keys: list[str] | None) -> list[str]:
    """The keys a person would call it by: no addresses, no internal ids."""
    return [key for key in keys or [] if "@" not in key and not key.startswith(HASHED) and not _is_internal(key)][:3]


def _is_internal(key: str) -> bool:
    return len(key) == 36 and key.count("-") == 4


def upper_first(text: str) -> str:
    """A sentence from the log, beginning as sentences do."""
    return text[:1].upper() + text[1:]
