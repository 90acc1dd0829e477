"""Causes of failure in plain words, by the stable codes of the engine and the gateways. Owns the words; decides nothing."""

from __future__ import annotations

from types import MappingProxyType

_CAUSES = MappingProxyType(
    {
        "ACKNOWLEDGEMENT_MISMATCH": "The answer was for another message",
        "ALREADY_ENDED": "The courier's job had ended already",
        "ALREADY_PICKED_UP": "The driver has it already",
        "BAD_ADDRESS": "The address cannot be written to",
        "BAD_HEADER": "The mail could not be put together",
        "BAD_LINK": "The address of the form is set up wrongly",
        "BAD_MESSAGE": "The mail could not be put together",
        "BAD_RECIPIENT": "The address cannot be written to",
        "BAD_REQUEST": "The request could not be put together",
        "BAD_SENDER": "The address of the sender is set up wrongly",
        "BAD_TEMPLATE": "The template of the mail has a mistake",
        "CAMPAIGN_ENDED": "Its campaign has ended",
        "CAMPAIGN_PAUSED": "Its campaign is paused",
        "CODE_REPLACED": "The patient has a newer code",
        "COMPOSE_ERROR": "The content could not be put together",
        "CONNECTION_LOST": "The connection broke before an answer came",
        "CONNECTION_STALE": "The provider had closed the connection",
        "CONNECT_FAILED": "The provider could not be reached",
        "COORDINATES_MISSING": "The courier needs to know where it is",
        "DESTINATION_REFUSED": "Its address is in a network that may not be reached",
        "ENDPOINT_BUSY": "The connection to the endpoint was in use for too long",
        "ENDPOINT_REFUSED_CREDENTIALS": "The endpoint did not accept our key or certificate",
        "EXPIRED": "It was past its deadline",
        "GATEWAY_DEFECT": "A defect of this program",
        "HTTP_429": "The provider asked us to slow down",
        "HTTP_503": "The provider was not available",
        "INVALID_ADDRESS": "The address cannot be written to",
        "INVALID_NUMBER": "The number cannot be written to",
        "JOB_UNKNOWN": "The courier does not know the job",
        "KEY_EXPIRED": "Too late to ask the provider again safely",
        "KIT_ID_INVALID": "The kit id is not valid",
        "MALFORMED_BODY": "The content could not be put together",
        "MALFORMED_REPLY": "The answer of the provider made no sense",
        "NO_RECIPIENT": "Nobody is named to get it",
        "NO_ENDPOINT": "There is no endpoint to send it to",
        "ORDER_CANCELLED": "The order was cancelled",
        "ORDER_NOT_FOUND": "The order is no longer stored",
        "PARAMETER_MISSING": "The courier missed something in the booking",
        "PAYLOAD_PURGED": "The stored content was deleted on schedule",
        "RECORD_FAILED": "It was accepted, but that could not be recorded",
        "REPLY_TOO_LARGE": "The answer of the provider made no sense",
        "RESTORED": "It may have left after the backup that was restored",
        "SMTP_AUTH": "The mail server did not accept our login",
        "SMTP_TLS": "The mail server offered no encryption",
        "SUBJECT_REQUIRED": "The mail has no subject",
        "TEMPLATE_REQUIRED": "WhatsApp wants a template that it has approved",
        "TEXT_EMPTY": "There is no text to send",
        "TEXT_TOO_LONG": "The text is too long",
        "TIMEOUT": "No answer came in time",
        "TLS_CERTIFICATE": "The certificate of the provider is not trusted",
        "TLS_FAILED": "No encrypted connection came about",
        "TOO_OLD": "It waited for too long to be tried by itself",
        "UNAUTHORISED": "The provider did not accept our login",
        "WORKER_DIED": "The worker that held it ended",
        "WORKER_DIED_REPEATEDLY": "Workers ended while they held it, several times",
        "WORKER_DIED_SENDING": "The worker that was sending it ended",
    }
)
# For codes that carry the provider's own number, by how they begin.
_FAMILIES = MappingProxyType(
    {
        "ACK_AE": "The receiver refused it as faulty",
        "ACK_CE": "The receiver refused it as faulty",
        "ACK_AR": "The receiver rejected it",
        "ACK_CR": "The receiver rejected it",
        "SMTP_5": "The mail server refused it for good",
        "SMTP_4": "The mail server put it off",
        "HTTP_5": "The provider had an error of its own",
        "HTTP_4": "The provider refused it",
    }
)
# ERR-3 of an acknowledgement: HL7 v2.5.1, table 0357.
_ACKNOWLEDGED = MappingProxyType(
    {
        "100": "its segments are out of order",
        "101": "a required field is missing",
        "102": "a field is not of its type",
        "103": "a code is not known there",
        "200": "it does not take this type of message",
        "201": "it does not take this event",
        "202": "it does not take test or production messages",
        "203": "it does not take this version of HL7",
        "204": "it does not know the patient or visit",
        "205": "it has this patient or visit already",
        "206": "it had the record locked",
        "207": "it had an error of its own",
    }
)


def cause_words(code: str) -> str | None:
    """The cause in plain words; None where nothing is known of the code."""
    found = _CAUSES.get(code) or next((words for start, words in _FAMILIES.items() if code.startswith(start)), None)
    detail = _ACKNOWLEDGED.get(code.rpartition("_")[2]) if code.startswith("ACK_") else None
    return f"{found}: {detail}" if found and detail else found
