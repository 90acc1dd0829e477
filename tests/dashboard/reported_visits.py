"""The visit that tests report over HTTP and from files: `tests.systems.hl7.visits.VISIT` as a clinic's system writes it."""

from __future__ import annotations

from typing import Any


def report(**changes: Any) -> dict[str, Any]:
    """An assessment at the school SCH-01 in which everything is said but the visit's id."""
    return {
        "schoolId": "SCH-01",
        "kind": "ASSESSMENT",
        "number": "V-2026-0001",
        "visitedAt": "2026-03-09T08:15:30+04:00",
        "student": {
            "id": "S-10042",
            "familyName": "Al Mansoori",
            "givenName": "Maryam",
            "middleName": "Saeed",
            "familyNameAr": "المنصوري",
            "givenNameAr": "مريم",
            "emiratesId": "784-2014-1234567-6",
            "birthDate": "2014-09-03",
            "sex": "F",
            "nationality": "ARE",
            "phone": "+971 50 123 4567",
            "email": "family@example.org",
            "address": {"street": "12 Palm Street", "city": "Abu Dhabi", "country": "ARE"},
            "guardian": {
                "familyName": "Al Mansoori",
                "givenName": "Saeed",
                "relationship": "FTH",
                "phone": "+971501234568",
            },
            "grade": "6B",
        },
        "provider": {"id": "GD12345", "familyName": "Haddad", "givenName": "Lina"},
        "vitals": {
            "temperatureC": 36.8,
            "systolicMmhg": 108,
            "diastolicMmhg": 66,
            "heartRate": 84,
            "respiratoryRate": 18,
            "spo2Percent": 98,
            "heightCm": 148.5,
            "weightKg": 41.2,
            "bmi": 18.7,
        },
        "immunisations": [
            {
                "cvx": "121",
                "at": "2026-03-09T08:15:30+04:00",
                "route": "IM",
                "name": "zoster, live",
                "site": "LD",
                "lot": "A77X",
                "doseMl": 0.5,
                "manufacturer": "MSD",
            },
            {"cvx": "03", "at": "2026-03-09T08:15:30+04:00", "route": "SC", "manufacturer": "Serum & Co"},
        ],
        "appointment": {
            "id": "A-55",
            "startsAt": "2026-03-16T08:15:30+04:00",
            "durationMinutes": 20,
            "reason": "Follow-up",
            "location": "Clinic room 2",
        },
        "problems": [
            {"code": "J45.909", "text": "Unspecified asthma, uncomplicated", "onset": "2025-11-02"},
            {"code": "E66", "text": "Obesity"},
        ],
        "diagnoses": [{"code": "J06.9", "text": "Acute upper respiratory infection"}],
        "allergies": [{"text": "Peanut", "type": "FA", "severity": "SV", "reaction": "Hives", "since": "2019-05-01"}],
        "notes": "Sore throat | since Monday.\nRest & fluids; see ^plan~ and \\\\server\\notes.",
        **changes,
    }
