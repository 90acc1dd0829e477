"""Everything about one patient over all systems, as JSON and as a page to read, in a zip. Owns the format; changes nothing.

What others wrote in the patient's own tickets is the patient's to read and is in it, without the names of members of staff.
Nothing of any other patient is. Run by the tables' owner.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2 import Environment

from dispatchlog.engine.database import fetch_dicts, transaction
from dispatchlog.engine.operator import log_action, require_reason
from dispatchlog.retention.belongings import Belonging, lanes, of_dispatches, others
from dispatchlog.retention.opening import opened
from dispatchlog.retention.person import Person, find_person

FORMAT = "dispatchlog patient export"
VERSION = 1

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What is stored about one patient</title></head><body>
<h1>What is stored about one patient</h1>
<p>Made {{ made_at }}. The same is in <code>patient.json</code> for programs. Instants are in UTC.</p>
<dl>{% for name, values in patient.items() if values %}<dt>{{ name }}</dt>
{% for value in values %}<dd>{{ value }}</dd>{% endfor %}{% endfor %}</dl>
{% for table, rows in tables.items() %}<h2>{{ table.replace('_', ' ') }} ({{ rows | length }})</h2>
{% for row in rows %}<table border="1">{% for name, value in row.items() if value not in (None, '', {}, []) %}
<tr><th scope="row" align="left">{{ name.replace('_', ' ') }}</th><td>{{ value }}</td></tr>
{% endfor %}</table><br>{% endfor %}{% endfor %}
</body></html>
"""


def export(given: str, *, actor: str, reason: str) -> bytes:
    """A zip with patient.json and patient.html of the patient of this id, address or `student:SCHOOL:NUMBER`.

    Raises:
        PatientNotFound: no system knows such a patient.
        CannotUnsealError: something of the patient's does not open; an export without it would not be whole.
        ReasonRequired: without a reason.
    """
    require_reason(reason, stays_with="the export")
    with transaction(actor, reason):
        person = find_person(given)
        document = collect(person)
        counts = {table: len(rows) for table, rows in document["tables"].items()}
        log_action(actor, "export_patient", reason=reason, detail={"ids": sorted(person.ids), "rows": counts})
    return _zipped(document)


def collect(person: Person) -> dict[str, Any]:
    """The document as it is written: format, version, made_at, patient, tables."""
    values = person.parameters()
    tables: dict[str, list[dict[str, Any]]] = {}
    dispatches: list[UUID] = []
    for each in lanes():
        rows = _rows(each, values)
        dispatches += [row["id"] for row in rows]
        tables[each.table] = rows
    values["dispatches"] = dispatches
    for each in (*of_dispatches(), *others()):
        tables[each.table] = _rows(each, values)
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "patient": {
            "ids": sorted(person.ids),
            "names": sorted(person.names),
            "emails": sorted(person.emails),
            "phones": sorted(person.phones),
            "shared_addresses": sorted(person.shared),
        },
        "tables": {table: [_plain(row) for row in rows] for table, rows in tables.items() if rows},
    }


def _rows(each: Belonging, values: dict[str, Any]) -> list[dict[str, Any]]:
    found = fetch_dicts(f"SELECT t.* FROM {each.table} t WHERE {each.where} ORDER BY 1", values)
    return [_readable(each, row) for row in found]


def _readable(each: Belonging, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in opened(each.table, row).items() if name not in each.hidden}


def _plain(value: Any) -> Any:
    """As JSON can hold it; bytes as text where they are text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, (bytes, memoryview)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value) if isinstance(value, (UUID, Decimal)) else value


def _zipped(document: dict[str, Any]) -> bytes:
    page = Environment(autoescape=True).from_string(_PAGE).render(**document)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("patient.json", json.dumps(document, indent=1, ensure_ascii=False, default=str))
        archive.writestr("patient.html", page)
    return whole.getvalue()
