"""The chain and its rows as a file for auditors, who recompute it with a program of their own. Owns the form of the file.

It reads the rows themselves, as the tables' owner, and hashes them here: what the database's own function says of them is
not asked. `docs/audit.md` has the form, line by line.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Any

import psycopg2

from dispatchlog.audit.chain import COLUMNS, IS_PRUNED, PRUNABLE, Seal, holds, moment, seal_of
from dispatchlog.audit.masking import masked
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action

FORMAT = "dispatchlog-audit-1"
_LINES = "SELECT id, line FROM dispatchlog_audit_lines(%s, %s, %s) ORDER BY id"


class ExportError(DispatchlogError):
    """The audit cannot be exported as asked."""

    code = "AUDIT_EXPORT"


@dataclass(slots=True)
class Exported:
    """What went into the file; `wrong` are the numbers of the seals that do not hold."""

    seals: int = 0
    rows: int = 0
    wrong: list[int] = field(default_factory=list)
    sha256: str = ""


def export(
    owner_url: str,
    file: Path,
    *,
    first: date,
    last: date,
    actor: str,
    identifiers: bool = False,
    reason: str = "",
) -> Exported:
    """Write every batch sealed from `first` to the end of `last` (UTC) to `file`, gzipped where it ends in .gz.

    That it is exported is kept first. The file is there whole or not at all.

    Raises:
        ExportError: identifiers were asked for without a reason, or the file cannot be written.
    """
    if identifiers and not reason.strip():
        raise ExportError("say why the identifiers are needed: the reason is kept")
    detail = {"from": first, "to": last, "identifiers": identifiers}
    log_action(actor, "export_audit_rows", reason=reason, detail=detail)
    partial = file.with_name(f"{file.name}.partial")
    try:
        with closing(psycopg2.connect(owner_url, options="-c timezone=UTC")) as connection:
            # One moment of the whole: what is sealed or taken away meanwhile is not half in it.
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            done = _write(connection, partial, _Asked(first, last, identifiers), is_packed=file.suffix == ".gz")
        partial.replace(file)
    except OSError as error:
        raise ExportError(f"{file} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return done


@dataclass(frozen=True, slots=True)
class _Asked:
    first: date
    last: date
    identifiers: bool

    @property
    def span(self) -> tuple[datetime, datetime]:
        return (
            datetime.combine(self.first, time(), UTC),
            datetime.combine(self.last + timedelta(days=1), time(), UTC),
        )


def _write(connection: Any, file: Path, asked: _Asked, *, is_packed: bool) -> Exported:
    done, hashed = Exported(), hashlib.sha256()
    key = os.urandom(32)
    # What only its owner may read.
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "wb") as plain, gzip.GzipFile(fileobj=plain, mode="wb") if is_packed else plain as out:
        head = {
            "kind": "head",
            "format": FORMAT,
            "from": asked.first.isoformat(),
            "to": asked.last.isoformat(),
            "identifiers": asked.identifiers,
        }
        _put(out, hashed, head)
        for seal in _seals(connection, asked):
            rows = _rows(connection, seal)
            digests = [hashlib.sha256(seal.salt + line.encode()).digest() for _, line in rows]
            pruned = _is_pruned(connection, seal)
            digest = hashlib.sha256(b"".join(digests)).digest()
            good = holds(seal) and (not rows if pruned else hmac.compare_digest(digest, seal.digest))
            _put(out, hashed, _seal_line(seal, asked, pruned=pruned, good=good))
            for (place, line), digest in zip(rows, digests, strict=True):
                _put(out, hashed, _row_line(seal.source, place, line, digest, asked, key))
            done.seals += 1
            done.rows += len(rows)
            done.wrong += [] if good else [seal.number]
        done.sha256 = hashed.hexdigest()
        manifest = {"kind": "manifest", "seals": done.seals, "rows": done.rows, "wrong": done.wrong}
        _put(out, hashed, {**manifest, "sha256": done.sha256})
    return done


def _put(out: IO[bytes] | gzip.GzipFile, hashed: Any, line: dict[str, Any]) -> None:
    data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    hashed.update(data)
    out.write(data)


def _seals(connection: Any, asked: _Asked) -> Iterator[Seal]:
    with connection.cursor("audit_seals") as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM audit_seals WHERE sealed_at >= %s AND sealed_at < %s ORDER BY number", asked.span
        )
        for row in cursor:
            yield seal_of(row)


def _rows(connection: Any, seal: Seal) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_LINES, (seal.source, seal.after_id, seal.last_id))
        return list(cursor.fetchall())


def _is_pruned(connection: Any, seal: Seal) -> bool:
    if seal.source not in PRUNABLE:
        return False
    with connection.cursor() as cursor:
        cursor.execute(IS_PRUNED, (seal.number, seal.source))
        return bool(cursor.fetchone()[0])


def _seal_line(seal: Seal, asked: _Asked, *, pruned: bool, good: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "kind": "seal",
        "number": seal.number,
        "source": seal.source,
        "after_id": seal.after_id,
        "last_id": seal.last_id,
        "row_count": seal.row_count,
        "encoding": seal.encoding,
        "digest": seal.digest.hex(),
        "previous": seal.previous.hex(),
        "chained": seal.chained.hex(),
        "sealed_at": moment(seal.sealed_at),
        "pruned": pruned,
        "holds": good,
    }
    # With it a row that is known but for one word could be found out from its digest.
    return {**line, "salt": seal.salt.hex()} if asked.identifiers else line


def _row_line(source: str, place: int, line: str, digest: bytes, asked: _Asked, key: bytes) -> dict[str, Any]:
    shown: dict[str, Any] = {"line": line} if asked.identifiers else {"row": masked(json.loads(line), key)}
    return {"kind": "row", "source": source, "number": place, "digest": digest.hex(), **shown}
