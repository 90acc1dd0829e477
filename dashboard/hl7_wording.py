"""Plain words of the HL7 pages: messages by type. Owns the vocabulary; reads no row."""

from __future__ import annotations

from types import MappingProxyType

MESSAGE_WORDS = MappingProxyType(
    {
        "ADT^A04": "Registration",
        "ADT^A08": "Update of the patient",
        "ORU^R01": "Assessment",
        "VXU^V04": "Immunisation",
        "SIU^S12": "Appointment",
        "PPR^PC1": "Problem",
    }
)


def message_words(message_type: str) -> str:
    """What a message of this type tells, in words."""
    return MESSAGE_WORDS.get(message_type, message_type)
