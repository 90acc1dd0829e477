"""Owns one value of every sealed column, made and read through the product's own doors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from dispatchlog import people, second_factor
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.keys.columns import API_KEYS, CLIENT_KEYS, SEALED_COLUMNS
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.endpoints import SELECT, endpoint_of, sealed
from dispatchlog.systems.outreach import contacts, portal
from dispatchlog.systems.outreach.inputs import Asker
from tests.outreach import builders

SECRET = "JBSWY3DPEHPK3PXP"
_NAMES = ("name_sealed", "email_sealed", "phone_sealed")
_CHOSEN = {"email_address": "other@example.org", "sms_number": "+12025550188", "whatsapp_number": "+12025550199"}


@dataclass(frozen=True)
class Sealed:
    """Something in each sealed column."""

    user: int
    patient: UUID
    token: str

    def read(self) -> dict[str, str]:
        """Every value, by its column."""
        found = {}
        with connected():
            (secret,) = fetch_one("SELECT secret FROM staff_second_factors WHERE user_id = %s", (self.user,))
            found["staff_second_factors.secret"] = second_factor.unseal(bytes(secret), user_id=self.user)
            (row,) = fetch_dicts(f"{SELECT} WHERE s.code = 'SCH-01'")
            endpoint = endpoint_of(row)
            found["hl7_endpoints.api_key_sealed"] = endpoint.api_key
            found["hl7_endpoints.client_key_sealed"] = endpoint.client_key_pem
            for table, key, columns in (("patients", "id", _NAMES), ("patient_comm_prefs", "patient_id", _CHOSEN)):
                (row,) = fetch_dicts(f"SELECT * FROM {table} WHERE {key} = %s", (self.patient,))
                for column in columns:
                    found[f"{table}.{column}"] = contacts.open_text(row[column], self.patient) or ""
            link = portal.open_link(self.token, kind=portal.MESSAGE, asker=Asker("patient"))
            found["comm_portal_tokens.content_sealed"] = link.text
        return found


def seal_everything() -> Sealed:
    """One value of each sealed column."""
    people.create_user("keys@example.org", roles=["viewer"])
    schools.add_school("SCH-01", "First school", actor="test")
    patient = builders.patient()
    builders.says(patient, **{name: contacts.seal_text(text, patient) for name, text in _CHOSEN.items()})
    with transaction("test"):
        ends = datetime.now(UTC) + timedelta(days=7)
        link = portal.issue_message_link(patient, uuid4(), "Your HbA1c is 7.1 %.", expires_at=ends)
        (user,) = fetch_one("SELECT id FROM staff_users WHERE email = 'keys@example.org'")
        execute(
            "INSERT INTO staff_second_factors (user_id, secret, last_counter) VALUES (%s, %s, 0)",
            (user, second_factor.seal(SECRET, user_id=user)),
        )
        (school,) = fetch_one("SELECT id FROM schools")
        execute(
            "UPDATE hl7_endpoints SET host = 'hl7.example.org', client_certificate_pem = 'its certificate',"
            " api_key_sealed = %s, client_key_sealed = %s",
            (
                sealed("an api key", purpose=API_KEYS, school_id=school),
                sealed("a client key", purpose=CLIENT_KEYS, school_id=school),
            ),
        )
    return Sealed(user, patient, link.rpartition("/")[2])


def headers() -> set[bytes]:
    """With what the values of all sealed columns begin."""
    each = " UNION ".join(
        f"SELECT substring({column.column} FROM 1 FOR 5) FROM {column.table} WHERE {column.column} IS NOT NULL"
        for column in SEALED_COLUMNS
    )
    with connected():
        return {bytes(found) for (found,) in fetch_all(each)}
