"""The last question before a message leaves, in the transaction that marks it as leaving. Reads only.

Consent, stops and the lawful window are asked again here: what was decided when the message was scheduled may be hours old.
"""

from __future__ import annotations

from dispatchlog.engine.lanes import Refusal, Row


def may_leave(row: Row) -> Refusal | None:
    """None: it may leave now. Codes: PATIENT_INACTIVE, CHANNEL_OFF, STOPPED, NO_MARKETING_CONSENT, APPOINTMENT_OVER (never);
    QUIET_HOURS, LEGAL_WINDOW (until an instant)."""
    raise NotImplementedError
