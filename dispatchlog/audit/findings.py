"""What can be wrong with the chain, and in what words. Owns the codes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from dispatchlog.audit.chain import Seal, moment

EDITED: Final = "EDITED"
DELETED: Final = "DELETED"
INSERTED: Final = "INSERTED"
SEAL_MISSING: Final = "SEAL_MISSING"
SEAL_CHANGED: Final = "SEAL_CHANGED"
SEAL_OTHER_KEY: Final = "SEAL_OTHER_KEY"
SEAL_OUT_OF_PLACE: Final = "SEAL_OUT_OF_PLACE"
TAIL_CUT: Final = "TAIL_CUT"
ANCHOR_MISMATCH: Final = "ANCHOR_MISMATCH"
ANCHOR_UNREADABLE: Final = "ANCHOR_UNREADABLE"
FUNCTION_CHANGED: Final = "FUNCTION_CHANGED"
PRUNED_BUT_THERE: Final = "PRUNED_BUT_THERE"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its code, at which seal (0: none) of which source, and in words."""

    code: str
    number: int
    source: str
    words: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def edited(seal: Seal) -> Finding:
    return _at(EDITED, seal, f"the {seal.row_count} rows are not what was sealed: at least one was changed")


def deleted(seal: Seal, rows: int) -> Finding:
    return _at(DELETED, seal, f"{seal.row_count - rows} of {seal.row_count} sealed rows are gone")


def inserted(seal: Seal, rows: int) -> Finding:
    return _at(INSERTED, seal, f"{rows - seal.row_count} rows were put in after {seal.row_count} had been sealed")


def pruned_but_there(seal: Seal, rows: int) -> Finding:
    return _at(PRUNED_BUT_THERE, seal, f"{rows} rows are there though retention took this batch away")


def missing(after: int, seal: Seal) -> Finding:
    gone = f"seal {after + 1} is" if seal.number == after + 2 else f"seals {after + 1} to {seal.number - 1} are"
    return Finding(SEAL_MISSING, after + 1, "", f"{gone} missing")


def changed(seal: Seal) -> Finding:
    return _at(SEAL_CHANGED, seal, "the seal does not fit our key: it was changed or replaced")


def of_other_key(seal: Seal, since: datetime) -> Finding:
    words = f"the seal is older than our key, which is of {_day(since)}: it was made under one that was given up"
    return _at(SEAL_OTHER_KEY, seal, f"{words}, so nothing proves that it is as it was")


def out_of_place(seal: Seal) -> Finding:
    return _at(SEAL_OUT_OF_PLACE, seal, "the seal does not follow the one before it: one of them was replaced")


def tail_cut(number: int, at: str, last: int) -> Finding:
    return Finding(TAIL_CUT, number, "", f"an anchor of {at} knows seal {number}, and the chain ends with seal {last}")


def other_than_anchor(number: int, at: str) -> Finding:
    return Finding(ANCHOR_MISMATCH, number, "", f"seal {number} is another one than the anchor of {at} knows")


def unreadable_anchor(words: str) -> Finding:
    return Finding(ANCHOR_UNREADABLE, 0, "", words)


def changed_function(name: str) -> Finding:
    words = f"the database's {name} is not what the migration made: nothing that it says of rows can be believed"
    return Finding(FUNCTION_CHANGED, 0, "", words)


def _at(code: str, seal: Seal, words: str) -> Finding:
    where = f"seal {seal.number} ({seal.source}, rows {_from(seal)} to {seal.last_id}, sealed {_day(seal.sealed_at)})"
    return Finding(code, seal.number, seal.source, f"{where}: {words}")


def _from(seal: Seal) -> str:
    return str(seal.after_id + 1) if seal.after_id >= 0 else "1"


def _day(at: datetime) -> str:
    return moment(at)[:19] + "Z"
