"""Whether somebody at an address has said something that nobody has read or applied yet. Reads only."""

from __future__ import annotations

from dispatchlog.engine.database import fetch_one
from dispatchlog.row_content import as_stored
from dispatchlog.systems.outreach.states import Channel

# The words and codes with which `provider_words` takes a yes back; `comm_events_withdrawals` is the index of these alone.
_WITHDRAWS = """e.applied_at IS NULL AND (e.raw_status IN ('spamreport', 'unsubscribe', 'group_unsubscribe')
    OR e.code IN ('21610', 'SPAM_REPORTING_ADDRESS', 'UNSUBSCRIBED_ADDRESS', '131050'))"""
_UNREAD = """
SELECT EXISTS (SELECT FROM comm_inbound WHERE channel = %s AND from_address = ANY (%s) AND parsed_at IS NULL)
"""
_UNAPPLIED = f"""
SELECT EXISTS (SELECT FROM comm_events e CROSS JOIN LATERAL (
        SELECT j.channel, j.recipient, j.recipient_hash FROM comm_jobs j WHERE j.id = e.job_id
        UNION ALL
        SELECT j.channel, j.recipient, j.recipient_hash FROM comm_jobs j
        WHERE e.provider_message_id <> '' AND j.provider_message_id = e.provider_message_id
    ) told
    WHERE {_WITHDRAWS} AND told.channel = %s AND (told.recipient = %s OR told.recipient_hash = %s))
"""


def is_answer_unread(channel: Channel, address: str) -> bool:
    """Whether a message from this address is stored and not read."""
    return bool(fetch_one(_UNREAD, (str(channel), as_stored(address)))[0])


def is_withdrawal_unapplied(channel: Channel, address: str, address_hash: bytes) -> bool:
    """Whether a provider has told that somebody at this address wants no more, and that is stored and not applied."""
    return bool(fetch_one(_UNAPPLIED, (str(channel), address, address_hash))[0])
