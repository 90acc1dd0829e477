"""Other keys in place of those in force. Owns changing `data_keys`, and sealing anew what was sealed under an earlier key.

The secret key is replaced at once: only the data keys are wrapped anew. A data key is replaced in small batches while
everything runs; each row says itself under which key it is, so a run that was killed leaves nothing to repair.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.keys.beginning import insert_key, take_turns
from dispatchlog.keys.columns import by_table
from dispatchlog.keys.errors import CannotUnsealError, KeysError
from dispatchlog.keys.resealing import Batch, left_in, reseal_all, table_of
from dispatchlog.keys.ring import FRESH_SECONDS, DataKey, rings
from dispatchlog.keys.secret_keys import KEY_BYTES, SEAL, check_of, secret_keys, unwrap, wrap
from dispatchlog.keys.standing import values_under

# After so long every process has noticed that a key was superseded.
NOTICED_SECONDS = 2 * FRESH_SECONDS
# And after so long whatever it sealed before that is committed, or never will be.
SETTLED = timedelta(minutes=10)
_MOST_ROUNDS = 30
_MOST_EXAMPLES = 20
_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Rotation:
    """A rotation to data key `key_id`: whether it was made for this, values sealed anew, and those that cannot be read."""

    key_id: int
    is_new: bool
    resealed: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Count a batch; a few of what cannot be read are kept by name."""
        self.resealed += batch.resealed
        self.unreadable += len(batch.unreadable)
        self.examples = [*self.examples, *batch.unreadable][:_MOST_EXAMPLES]


def rotate_secret(*, actor: str) -> list[int]:
    """Wrap every data key under the secret key in force; the numbers of those that were under an old one come back.

    Raises:
        CannotUnsealError: one opens with none of this process's secret keys; nothing was changed.
    """
    rings.with_keys()
    current, *_ = secret_keys()
    with transaction(actor, "secret key rotated"):
        take_turns()
        rows = fetch_dicts("SELECT id, purpose, wrapped, key_check FROM data_keys ORDER BY id FOR UPDATE")
        old = [row for row in rows if bytes(row["key_check"]) != check_of(current.text)]
        for row in old:
            about = {"key_id": row["id"], "purpose": row["purpose"]}
            material = unwrap(bytes(row["wrapped"]), bytes(row["key_check"]), among=secret_keys(), **about)
            if material is None:
                raise CannotUnsealError(
                    f"data key {row['id']} opens with none of the secret keys: name the one that wrapped it in"
                    " DISPATCHLOG_OLD_SECRET_KEYS; nothing was changed"
                )
            execute(
                "UPDATE data_keys SET wrapped = %s, key_check = %s, wrapped_at = now() WHERE id = %s",
                (wrap(material, secret_key=current.text, **about), check_of(current.text), row["id"]),
            )
        numbers = [int(row["id"]) for row in old]
        if numbers:
            log_action(actor, "rotate_secret_key", detail={"data_keys": numbers})
    return numbers


def rotate_data(
    *,
    actor: str,
    go_on: bool = False,
    batch: int = 500,
    noticed_seconds: float | None = None,
    told: Callable[[Rotation], object] = lambda _: None,
) -> Rotation:
    """Seal everything anew under a new data key, or finish a rotation that was not; with `go_on`, never under a new one.

    `told` is called after each batch. What cannot be read stays as it is. Several may run at once: where another one has
    made a newer key meanwhile, both end under that.

    Raises:
        CannotUnsealError: the data key in force cannot be opened.
        KeysError: ROTATION_UNFINISHED, rows stayed locked; it may be run again.
    """
    key, is_new = _begin(actor, go_on=go_on)
    rotation = Rotation(key.id, is_new)
    noticed = timedelta(seconds=NOTICED_SECONDS if noticed_seconds is None else noticed_seconds)
    tables = [table_of(name, columns) for name, columns in by_table().items()]
    for _ in range(_MOST_ROUNDS):
        rotation.unreadable, rotation.examples = 0, []
        newest = rings.with_keys().sealing
        if newest.id != key.id:
            key, rotation.key_id, rotation.is_new = newest, newest.id, False
        noticed_at = key.created_at + noticed
        begun_at = _now()
        for table in tables:
            for done in reseal_all(table, key, batch=batch):
                rotation.add(done)
                told(rotation)
        if begun_at >= noticed_at and sum(left_in(table, key) for table in tables) <= rotation.unreadable:
            _complete(rotation, actor)
            return rotation
        time.sleep(max(_PAUSE_SECONDS, (noticed_at - _now()).total_seconds()))
    raise KeysError("some rows stayed locked; run it again", code="ROTATION_UNFINISHED")


def retire(key_id: int, *, actor: str, settled: timedelta = SETTLED) -> None:
    """Open nothing under this data key from now on; again is no error.

    Raises:
        KeysError: KEY_UNKNOWN; KEY_NEEDED, it is the one in force or that of hashes; KEY_TOO_NEW, what was sealed under it
            may not be committed yet; KEY_IN_USE, rows are under it.
    """
    with transaction(actor, "data key retired"):
        take_turns()
        rows = fetch_dicts("SELECT purpose, superseded_at, retired_at FROM data_keys WHERE id = %s", (key_id,))
        if not rows:
            raise KeysError(f"there is no data key {key_id}", code="KEY_UNKNOWN")
        (key,) = rows
        if key["retired_at"] is not None:
            return
        if key["superseded_at"] is None:
            what = "seals what is stored now" if key["purpose"] == SEAL else "is that of all hashes, and stays"
            raise KeysError(f"data key {key_id} {what}", code="KEY_NEEDED")
        if _now() < key["superseded_at"] + settled:
            least = f"{settled.total_seconds() / 60:.0f} minutes"
            raise KeysError(f"data key {key_id} was in force less than {least} ago; wait", code="KEY_TOO_NEW")
        _refuse_while_used(key_id)
        execute("UPDATE data_keys SET retired_at = now() WHERE id = %s", (key_id,))
        log_action(actor, "retire_data_key", detail={"data_key": key_id})


def _now() -> datetime:
    """By the database's clock, as the keys' own instants are."""
    with connected():
        return fetch_one("SELECT clock_timestamp()")[0]


def _refuse_while_used(key_id: int) -> None:
    used = {name: counts[key_id] for name, counts in values_under().items() if counts.get(key_id)}
    if used:
        where = ", ".join(f"{number} in {name}" for name, number in used.items())
        message = f"data key {key_id} is still in use ({where}); run: dispatchlog keys rotate-data --go-on"
        raise KeysError(message, code="KEY_IN_USE")


def _begin(actor: str, *, go_on: bool) -> tuple[DataKey, bool]:
    """The key to seal under, and whether it was made just now."""
    rings.with_keys()
    with transaction(actor, "data key rotated"):
        take_turns()
        key = rings.with_keys().sealing
        key.open()
        is_new = not go_on and not _is_unfinished(key)
        if is_new:
            execute("UPDATE data_keys SET superseded_at = now() WHERE id = %s", (key.id,))
            number = insert_key(SEAL, os.urandom(KEY_BYTES))
            log_action(actor, "rotate_data_key", detail={"data_key": number})
    return rings.with_keys().sealing, is_new


def _is_unfinished(key: DataKey) -> bool:
    ((completed_at,),) = fetch_all("SELECT completed_at FROM data_keys WHERE id = %s", (key.id,))
    if completed_at is not None:
        return False
    return any(left_in(table_of(name, columns), key) for name, columns in by_table().items())


def _complete(rotation: Rotation, actor: str) -> None:
    with transaction(actor, "data key rotated"):
        execute("UPDATE data_keys SET completed_at = coalesce(completed_at, now()) WHERE id = %s", (rotation.key_id,))
