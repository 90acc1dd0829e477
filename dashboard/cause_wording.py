"""Causes of failure in plain words, by the stable codes of the engine and the gateways. Owns the words; decides nothing."""

from __future__ import annotations

from types import MappingProxyType

_CAUSES = MappingProxyType(
    {
        "BAD_ADDRESS": "The address cannot be written to",
        "BAD_HEADER": "The mail could not be put together",
        "BAD_LINK": "The address of the form is set up wrongly",
        "BAD_MESSAGE": "The mail could not be put together",
        "BAD_RECIPIENT": "The address cannot be written to",
        "BAD_REQUEST": "The request could not be put together",
        "BAD_SENDER": "The address of the sender is set up wrongly",
        "BAD_TEMPLATE": "The template of the mail has a mistake",
        "COMPOSE_ERROR": "The content could not be put together",
        "CONNECTION_LOST": "The connection broke before an answer came",
        "CONNECTION_STALE": "The provider had closed the connection",
        "CONNECT_FAILED": "The provider could not be reached",
        "EXPIRED": "It was past its deadline",
        "GATEWAY_DEFECT": "A defect of this program",
        "HTTP_429": "The provider asked us to slow down",
        "HTTP_503": "The provider was not available",
        "KEY_EXPIRED": "Too late to ask the provider again safely",
        "KIT_ID_INVALID": "The kit id is not valid",
        "MALFORMED_BODY": "The content could not be put together",
        "MALFORMED_REPLY": "The answer of the provider made no sense",
        "NO_RECIPIENT": "Nobody is named to get it",
        "ORDER_CANCELLED": "The order was cancelled",
        "ORDER_NOT_FOUND": "The order is no longer stored",
        "PAYLOAD_PURGED": "The stored content was deleted on schedule",
        "RECORD_FAILED": "It was accepted, but that could not be recorded",
        "REPLY_TOO_LARGE": "The answer of the provider made no sense",
        "SMTP_AUTH": "The mail server did not accept our login",
        "SMTP_TLS": "The mail server offered no encryption",
        "TIMEOUT": "No answer came in time",
        "TLS_CERTIFICATE": "The certificate of the provider is not trusted",
        "TLS_FAILED": "No encrypted connection came about",
        "UNAUTHORISED": "The provider did not accept our login",
        "WORKER_DIED": "The worker that held it ended",
        "WORKER_DIED_REPEATEDLY": "Workers ended while they held it, several times",
        "WORKER_DIED_SENDING": "The worker that was sending it ended",
    }
)
# For codes that carry the provider's own number, by how they begin.
_FAMILIES = MappingProxyType(
    {
        "SMTP_5": "The mail server refused it for good",
        "SMTP_4": "The mail server put it off",
        "HTTP_5": "The provider had an error of its own",
        "HTTP_4": "The provider refused it",
    }
)


def cause_words(code: str) -> str | None:
    """The cause in plain words; None where nothing is known of the code."""
    return _CAUSES.get(code) or next((words for start, words in _FAMILIES.items() if code.startswith(start)), None)
