"""Owns filling in, on leaving, what must not be stored: a message's blank becomes the secret as its bytes go out.

The stored bytes and the filling decide the sent bytes, so a resend sends the same. Everything else is the inner gateway's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, Permanent
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, Parcel, Receipt


class FillingGateway:
    """Hands parcels to `inner` with their blanks filled in.

    Args:
        inner: what sends; its name, kind and times are this gateway's.
        blank: the bytes that stand for the secret in stored bodies.
        secret_of: the secret of a parcel, as long as the blank; None where the parcel has none and leaves as it is.
    """

    def __init__(self, inner: Gateway, *, blank: bytes, secret_of: Callable[[Parcel], bytes | None]) -> None:
        self._inner = inner
        self._blank = blank
        self._secret_of = secret_of
        self.name: str = inner.name
        self.kind: GatewayKind = inner.kind
        self.deadline_seconds: float = inner.deadline_seconds
        self.key_retention: timedelta | None = inner.key_retention
        self.indexing_delay: timedelta = inner.indexing_delay

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The inner gateway's receipt.

        Raises:
            Permanent: BAD_MESSAGE, a parcel with a secret has no place for it.
            Transient, Permanent, OutcomeUnknown: as the inner gateway.
        """
        secret = self._secret_of(parcel)
        if secret is None:
            return self._inner.send(parcel, deadline=deadline, before_write=before_write)
        try:
            receipt = self._inner.send(self._filled(parcel, secret), deadline=deadline, before_write=before_write)
        except GatewayError as error:
            error.message = self._hidden(error.message, secret)
            error.args = (error.message,)
            error.evidence = self._without(error.evidence, secret)
            raise
        return replace(receipt, evidence=self._without(receipt.evidence, secret))

    def _filled(self, parcel: Parcel, secret: bytes) -> Parcel:
        if self._blank not in parcel.body or len(secret) != len(self._blank):
            raise Permanent("The message has no place for its code.", code="BAD_MESSAGE")
        return replace(parcel, body=parcel.body.replace(self._blank, secret))

    def _without(self, evidence: Mapping[str, Any], secret: bytes) -> dict[str, Any]:
        """Servers repeat what they refuse, and what they say is stored and shown."""
        return {name: self._hidden(said, secret) if isinstance(said, str) else said for name, said in evidence.items()}

    def _hidden(self, said: str, secret: bytes) -> str:
        return said.replace(secret.decode(), self._blank.decode())

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        """What the inner gateway answers; it is asked about the stored bytes."""
        return self._inner.look_up(parcel, since=since, deadline=deadline)

    def close(self) -> None:
        self._inner.close()
