"""Who looked at what of patients' data. Reads `patient_reads`; the dashboard and the API write it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dispatchlog.engine.database import connected, fetch_dicts


def looks(
    *, subject: str = "", actor: str = "", since: datetime | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest looks first: at this subject (an id as the address had it), by this actor, since then."""
    parts = [
        ("subject = %s", subject or None),
        ("actor = %s", actor or None),
        ("at >= %s", since),
    ]
    given = [(sql, value) for sql, value in parts if value is not None]
    where = " AND ".join(sql for sql, _ in given) or "true"
    with connected():
        return fetch_dicts(
            "SELECT at, actor, what, subject, why, filter, ip_address FROM patient_reads"
            f" WHERE {where} ORDER BY id DESC LIMIT %s",
            (*(value for _, value in given), limit),
        )
