"""What a message costs and what a kept appointment is worth. Owns comm_rates; calculates nothing."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach.inputs import Asker, OutreachError

_CURRENCY = re.compile(r"[A-Z]{3}")
# Each with how much it is at the most and how many decimal places it has.
_AMOUNTS = {
    "visit_value": (Decimal(10) ** 8, 2),
    "email_cost": (Decimal(10) ** 4, 5),
    "sms_cost": (Decimal(10) ** 4, 5),
    "whatsapp_cost": (Decimal(10) ** 4, 5),
    "baseline_no_show": (Decimal(1), 4),
}
_READ = """
SELECT organization_id, currency, visit_value, email_cost, sms_cost, whatsapp_cost, baseline_no_show, version
FROM comm_rates WHERE organization_id IS NOT DISTINCT FROM %(id)s OR organization_id IS NULL
ORDER BY organization_id NULLS LAST LIMIT 1
"""
_INSERT = """
INSERT INTO comm_rates (id, organization_id, currency, visit_value, email_cost, sms_cost, whatsapp_cost, baseline_no_show,
    updated_by)
VALUES (%(id)s, %(organization_id)s, %(currency)s, %(visit_value)s, %(email_cost)s, %(sms_cost)s, %(whatsapp_cost)s,
    %(baseline_no_show)s, %(actor)s)
ON CONFLICT (organization_id) DO NOTHING RETURNING version
"""
_UPDATE = """
UPDATE comm_rates SET currency = %(currency)s, visit_value = %(visit_value)s, email_cost = %(email_cost)s,
    sms_cost = %(sms_cost)s, whatsapp_cost = %(whatsapp_cost)s, baseline_no_show = %(baseline_no_show)s,
    version = version + 1, updated_by = %(actor)s, updated_at = now()
WHERE organization_id IS NOT DISTINCT FROM %(organization_id)s AND version = %(version)s RETURNING version
"""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a message costs and a kept appointment is worth, in `currency`; `baseline_no_show` from 0 to 1 or None."""

    organization_id: UUID | None
    currency: str
    visit_value: Decimal
    email_cost: Decimal
    sms_cost: Decimal
    whatsapp_cost: Decimal
    baseline_no_show: Decimal | None
    version: int

    def cost_of(self, channel: str) -> Decimal:
        """Of one message by this channel."""
        return {"email": self.email_cost, "sms": self.sms_cost, "whatsapp": self.whatsapp_cost}[channel]


def rates(organization_id: UUID | None) -> Rates | None:
    """The organisation's, else everybody's, else None."""
    with connected():
        found = fetch_dicts(_READ, {"id": organization_id})
    return Rates(**found[0]) if found else None


def set_rates(wanted: Rates, *, asker: Asker) -> Rates:
    """Write them; `wanted.version` is the one they are based on (0: none yet). Raises OutreachError: INVALID_RATES with the
    field, VERSION_CONFLICT, ORGANIZATION_NOT_FOUND."""
    values: dict[str, Any] = _checked(wanted)
    with transaction(asker.actor):
        if wanted.organization_id and not fetch_all(
            "SELECT FROM comm_organizations WHERE id = %s", (wanted.organization_id,)
        ):
            raise OutreachError("no such organisation", code="ORGANIZATION_NOT_FOUND", field="organization_id")
        statement = _UPDATE if wanted.version else _INSERT
        written = execute(statement, {**values, "id": new_id(), "actor": asker.actor[:128]}).fetchone()
        if written is None:
            raise OutreachError("they were changed in the meantime", code="VERSION_CONFLICT", field="version")
        log_action(asker.actor, "set_rates", detail=values | {"version": written[0]})
    return replace(wanted, version=written[0])


def _checked(wanted: Rates) -> dict[str, Any]:
    if not _CURRENCY.fullmatch(wanted.currency):
        raise _invalid("currency", "a currency has three capital letters, such as USD")
    for name, (most, places) in _AMOUNTS.items():
        amount = getattr(wanted, name)
        if amount is None and name == "baseline_no_show":
            continue
        if not isinstance(amount, Decimal) or not amount.is_finite() or not 0 <= amount <= most:
            raise _invalid(name, f"it is a number from 0 to {most:,}")
        if amount != round(amount, places):
            raise _invalid(name, f"it has {places} decimal places at the most")
    return asdict(wanted)


def _invalid(field: str, message: str) -> OutreachError:
    return OutreachError(message, code="INVALID_RATES", field=field)
