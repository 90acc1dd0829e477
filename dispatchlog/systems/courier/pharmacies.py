"""Pharmacies: where orders are picked up. Owns their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.engine.database import fetch_dicts, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.courier.checks import check_pharmacy
from dispatchlog.systems.courier.inputs import PharmacyInput

# Saying the same again leaves `updated_at` as it was.
_PUT = """
INSERT INTO pharmacies AS p (id, code, name, phone, email, address, city, latitude, longitude)
VALUES (%(id)s, %(code)s, %(name)s, %(phone)s, %(email)s, %(address)s, %(city)s, %(latitude)s, %(longitude)s)
ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name, phone = EXCLUDED.phone, email = EXCLUDED.email,
    address = EXCLUDED.address, city = EXCLUDED.city, latitude = EXCLUDED.latitude, longitude = EXCLUDED.longitude,
    updated_at = CASE WHEN (p.name, p.phone, p.email, p.address, p.city, p.latitude, p.longitude) IS DISTINCT FROM
        (EXCLUDED.name, EXCLUDED.phone, EXCLUDED.email, EXCLUDED.address, EXCLUDED.city, EXCLUDED.latitude,
        EXCLUDED.longitude) THEN now() ELSE p.updated_at END
RETURNING *
"""


def put_pharmacy(pharmacy: PharmacyInput, *, source: str) -> Mapping[str, Any]:
    """Create or update the pharmacy of this code; its row comes back.

    Raises:
        CourierError: INVALID_CODE, INVALID_EMAIL, INVALID_PHONE, INVALID_COORDINATES, INVALID_TEXT.
    """
    check_pharmacy(pharmacy)
    with transaction(f"service:{source}"):
        return fetch_dicts(
            _PUT,
            {
                "id": new_id(),
                "code": pharmacy.code,
                "name": pharmacy.name,
                "phone": pharmacy.phone,
                "email": pharmacy.email or None,
                "address": pharmacy.place.address,
                "city": pharmacy.place.city,
                "latitude": pharmacy.place.latitude,
                "longitude": pharmacy.place.longitude,
            },
        )[0]
