"""The thorough part of an examination that looks at secrets: is the key long enough, and does it open what is stored?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dispatchlog import second_factor
from dispatchlog.doctor import Check, State
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.sealing import CannotUnsealError
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import endpoints
from dispatchlog.systems.outreach import contacts

LEAST_KEY = 32
# The newest: a key that was changed shows in what was sealed before, so the oldest are looked at too.
_SAMPLE = 50
_ENDS = "SELECT {columns} FROM {table} ORDER BY {by} LIMIT {count}"


def examine_secrets(settings: Settings) -> Iterator[Check]:
    """Whether the secret key is one, and whether stored secrets open; to be called with a connection."""
    length = len(settings.secret_key.get_secret_value())
    state: State = "ok" if length >= LEAST_KEY else "failed" if settings.environment == "production" else "warning"
    what_next = "" if state == "ok" else f"use at least {LEAST_KEY} random characters"
    yield Check("secret key", state, f"{length} characters", what_next)
    key = settings.secret_key.get_secret_value()
    yield _opens("second factors", "user_id", "staff_second_factors", "user_id, secret", lambda row: _factor(row, key))
    yield _opens("patients", "id", "patients", "id, name_sealed", lambda row: contacts.open_text(row[1], row[0]))
    yield _endpoints()


def _factor(row: tuple[Any, ...], key: str) -> str:
    return second_factor.unseal(bytes(row[1]), user_id=row[0], secret_key=key)


def _opens(what: str, by: str, table: str, columns: str, unseal: Callable[[tuple[Any, ...]], object]) -> Check:
    ends = (by, f"{by} DESC")
    asked = [_ENDS.format(columns=columns, table=table, by=end, count=_SAMPLE) for end in ends]
    rows = {row[0]: row for sql in asked for row in fetch_all(sql)}
    return _verdict(what, [(str(name), partial(unseal, row)) for name, row in rows.items()])


def _endpoints() -> Check:
    rows = fetch_dicts(endpoints.SELECT)
    return _verdict("HL7 keys", [(row["code"], partial(endpoints.endpoint_of, row)) for row in rows])


def _verdict(what: str, each: list[tuple[str, Callable[[], object]]]) -> Check:
    closed = [name for name, unseal in each if not _is_open(unseal)]
    if not closed:
        return Check("sealed", "ok", f"{what}: {len(each)} looked at, all open")
    words = f"{what}: {len(closed)} of {len(each)} cannot be opened, such as {closed[0]}"
    what_next = "set DISPATCHLOG_SECRET_KEY to what it was when they were stored; it is with your backups"
    return Check("sealed", "failed", words, what_next)


def _is_open(unseal: Callable[[], object]) -> bool:
    try:
        unseal()
    except (CannotUnsealError, second_factor.SecondFactorUnreadable):
        return False
    except DispatchlogError:
        return True  # such as an endpoint that is not finished: nothing is wrong with its key
    return True
