"""The data keys of this process's database, open in memory. Owns reading `data_keys`.

Read again when a few seconds old, so a new key is noticed by every process. What was opened once stays open, whatever
happens to the secret keys afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from dispatchlog.engine.database import connected, database, fetch_dicts
from dispatchlog.engine.deadline import boottime
from dispatchlog.keys.beginning import create_first_keys, earlier_secret_key
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.formats import seal_first, seal_under
from dispatchlog.keys.secret_keys import FIND, SEAL, SecretKey, root_of, secret_keys, unwrap
from dispatchlog.settings import Settings, get_settings

# For so long a process may go on sealing under a key that was superseded.
FRESH_SECONDS = 10.0
_SELECT = "SELECT id, purpose, wrapped, key_check, created_at, superseded_at, retired_at FROM data_keys ORDER BY id"


@dataclass(frozen=True, slots=True)
class DataKey:
    """One data key; `material` is None where this process has no secret key that opens it."""

    id: int
    purpose: str
    created_at: datetime
    superseded_at: datetime | None
    retired_at: datetime | None
    material: bytes | None

    def __repr__(self) -> str:
        return f"DataKey({self.id}, {self.purpose})"

    def open(self) -> bytes:
        """Its 32 bytes.

        Raises:
            CannotUnsealError: this process has not the secret key that wrapped it, or the stored key was changed.
        """
        if self.material is None:
            raise CannotUnsealError(
                f"data key {self.id} was wrapped under another secret key than DISPATCHLOG_SECRET_KEY; set that one, or"
                " name it in DISPATCHLOG_OLD_SECRET_KEYS"
            )
        return self.material


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys as they were read at one time."""

    keys: Mapping[int, DataKey]
    sealing: DataKey
    finding: DataKey

    def seal(self, plain: bytes, *, purpose: str, owner: str) -> bytes:
        """Under the key in force."""
        return seal_under(self.sealing.id, self.sealing.open(), plain, purpose=purpose, owner=owner)

    def check(self) -> None:
        """Return if both keys in force open. Raises CannotUnsealError."""
        self.sealing.open()
        self.finding.open()

    def root_of_hashes(self) -> bytes:
        """From which the keys of all hashes follow."""
        return self.finding.open()


@dataclass(frozen=True, slots=True)
class EarlierRing:
    """No keys yet: an earlier release worked here and may still do, so everything is done as it does."""

    secret_key: SecretKey
    keys: Mapping[int, DataKey] = field(default_factory=lambda: MappingProxyType({}))

    def seal(self, plain: bytes, *, purpose: str, owner: str) -> bytes:
        """Straight under the secret key."""
        return seal_first(plain, purpose=purpose, owner=owner, secret_key=self.secret_key.text)

    def check(self) -> None:
        """The secret key is at hand, for it is what this ring was made of."""

    def root_of_hashes(self) -> bytes:
        """From which the keys of all hashes follow, and will also when there are data keys."""
        return root_of(self.secret_key.text)


@dataclass(frozen=True, slots=True)
class _Known:
    """A ring, when it was read, from which database and by which settings."""

    ring: Ring | EarlierRing
    read_at: float
    database: object
    settings: Settings

    def holds(self) -> bool:
        """Whether the process still has the same database and settings; asked for every value, so by identity."""
        return self.settings is get_settings() and self.database == database.database

    def opened(self) -> Mapping[int, DataKey]:
        """The keys that need not be opened again."""
        same = self.database == database.database and self.settings.secret_keys == get_settings().secret_keys
        return self.ring.keys if same else {}


class Rings:
    """The ring of the database that the process is pointed at. Thread-safe."""

    def __init__(self, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._fresh_seconds = fresh_seconds
        self._guard = threading.Lock()
        self._known: _Known | None = None

    def current(self) -> Ring | EarlierRing:
        """The ring, at most a few seconds old. A new installation gets its first keys.

        Raises:
            CannotUnsealError: there are no keys, and none of the secret keys opens what an earlier release sealed.
        """
        known = self._known
        if known is None or not known.holds():
            return self.read_again()
        if boottime() - known.read_at < self._fresh_seconds:
            return known.ring
        # One thread reads, and the others need not wait for it.
        if not self._guard.acquire(blocking=False):
            return known.ring
        try:
            return self._read()
        finally:
            self._guard.release()

    def read_again(self) -> Ring | EarlierRing:
        """The ring as it is in the database now."""
        with self._guard:
            return self._read()

    def with_keys(self) -> Ring:
        """The ring as it is now, with its first keys made in any installation.

        Raises:
            CannotUnsealError: as `current` does.
        """
        ring = self.read_again()
        if isinstance(ring, EarlierRing):
            create_first_keys()
            ring = self.read_again()
        if isinstance(ring, EarlierRing):
            raise CannotUnsealError("the data keys could not be made")
        return ring

    def _read(self) -> Ring | EarlierRing:
        known = self._known
        ring = _ring(_read(known.opened() if known is not None else {})) or _begun()
        self._known = _Known(ring, boottime(), database.database, get_settings())
        return ring

    def forget(self) -> None:
        """Read and open everything anew at the next look."""
        with self._guard:
            self._known = None


def _ring(keys: Mapping[int, DataKey]) -> Ring | None:
    active = {key.purpose: key for key in keys.values() if key.superseded_at is None}
    return Ring(MappingProxyType(keys), active[SEAL], active[FIND]) if active.keys() == {SEAL, FIND} else None


def _begun() -> Ring | EarlierRing:
    """The ring of a database without keys, on a connection of its own: the caller's transaction may be rolled back."""

    def begin() -> Ring | EarlierRing | None:
        try:
            earlier = earlier_secret_key()
        except CannotUnsealError:
            # Perhaps another process has just made the keys, and that is what it sealed.
            made = _ring(_read({}))
            if made is None:
                raise
            return made
        if earlier is not None:
            # Perhaps a person has just had the keys made.
            return _ring(_read({})) or EarlierRing(earlier)
        create_first_keys()
        return _ring(_read({}))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="first-data-keys") as own:
        ring = own.submit(begin).result()
    if ring is None:
        raise CannotUnsealError("the data keys could not be made")
    return ring


def _read(known: Mapping[int, DataKey]) -> dict[int, DataKey]:
    with connected():
        rows = fetch_dicts(_SELECT)
    return {row["id"]: _opened(row, known.get(row["id"])) for row in rows}


def _opened(row: Mapping[str, Any], known: DataKey | None) -> DataKey:
    material = known.material if known is not None and known.created_at == row["created_at"] else None
    if material is None:
        wrapped, check = bytes(row["wrapped"]), bytes(row["key_check"])
        material = unwrap(wrapped, check, key_id=row["id"], purpose=row["purpose"], among=secret_keys())
    return DataKey(
        id=row["id"],
        purpose=row["purpose"],
        created_at=row["created_at"],
        superseded_at=row["superseded_at"],
        retired_at=row["retired_at"],
        material=material,
    )


rings = Rings()
