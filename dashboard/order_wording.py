"""Plain words for what becomes of an order of kits. Owns the vocabulary of the order pages; decides nothing."""

from __future__ import annotations

from types import MappingProxyType

ORDER_STATES = MappingProxyType(
    {
        "NOT_SHIPPED": ("Not shipped yet", "box", "off"),
        "WAITING": ("Waiting", "clock", "wait"),
        "REGISTERING": ("Registering", "send", "busy"),
        "REGISTERED": ("Registered", "check", "good"),
        "NOT_APPLICABLE": ("Not for us", "ban", "off"),
        "CANCELLED": ("Cancelled", "ban", "off"),
    }
)

# For orders that are stored and of which nothing is noted yet; a note brings its own detail.
DETAILS = MappingProxyType(
    {
        "NOT_SHIPPED": "its kits are registered once it is reported as shipped",
        "NO_KITS": "it was shipped, but has no kits yet; they are registered as soon as it has",
        "NOT_TAKEN_UP": "it was shipped; the next sweep registers its kits",
        "NOT_PRACTITIONER_ORDER": "the order belongs to no practitioner",
        "ORDER_CANCELLED": "the order was cancelled before anything was sent for it",
    }
)
