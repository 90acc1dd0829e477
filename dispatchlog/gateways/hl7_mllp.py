"""Owns handing HL7 v2 messages to one endpoint over MLLP, one at a time over one kept connection; never resends.

A failure before the first byte is a definite no. After it only this message's own acknowledgement proves anything: on
everything else the connection is closed, so that an acknowledgement that comes late is never taken for another message's.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from dispatchlog.engine.deadline import Deadline, boottime
from dispatchlog.engine.errors import OutcomeUnknown, Transient
from dispatchlog.engine.gateway import LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways import wire
from dispatchlog.gateways.hl7_acknowledgement import Acknowledgement, kept, match, settle
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint
from dispatchlog.gateways.hl7_framing import BrokenFrameError, FrameReader, FrameTooLargeError, frame
from dispatchlog.gateways.hl7_message import Outgoing
from dispatchlog.gateways.hl7_turn import my_turn
from dispatchlog.reach import OutOfReach

SETTLE_SECONDS = 0.5
_READ_BYTES = 65_536


class _Connection:
    """One connection. Not thread-safe. Methods raise OSError (TimeoutError at the deadline) or BrokenFrameError."""

    def __init__(self, sock: socket.socket, max_reply_bytes: int) -> None:
        self._socket = sock
        self._frames = FrameReader(max_reply_bytes)
        self.kept_at = 0.0

    @property
    def unread(self) -> bytes:
        return self._frames.unread

    def quiet(self) -> bool:
        """Whether it is open and nothing but line ends came since the last reply: whatever else came answers nobody."""
        if self._frames.unread:
            return False
        while wire.has_news(self._socket) or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            try:
                self._socket.setblocking(False)
                said = self._socket.recv(_READ_BYTES)
            except ssl.SSLWantReadError:
                return True  # a session ticket
            except OSError:
                return False
            if not said or said.strip(b"\r\n"):
                return False
        return True

    def write(self, data: bytes, *, deadline: Deadline) -> None:
        wire.write_all(self._socket, data, deadline=deadline)

    def read(self, *, deadline: Deadline) -> bytes:
        """The next frame's content."""
        while (message := self._frames.next_message()) is None:
            data = wire.read_some(self._socket, _READ_BYTES, deadline=deadline)
            if not data:
                raise ConnectionResetError("the endpoint closed the connection")
            self._frames.feed(data)
        return message

    def close(self) -> None:
        self._socket.close()


class MllpGateway:
    """One endpoint over MLLP on TCP, TLS or mutual TLS. Thread-safe; a second send waits until the first is over.

    Raises:
        EndpointError: a certificate or key of the endpoint cannot be used.
    """

    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, endpoint: Hl7Endpoint) -> None:
        self.name = endpoint.name
        self.kind = endpoint.kind
        self.deadline_seconds = endpoint.deadline_seconds
        self._endpoint = endpoint
        self._decisions = endpoint.decisions()
        self._tls = endpoint.tls_context()
        self._where = f"{endpoint.host}:{endpoint.port}"
        self._turn = threading.Lock()
        self._kept: _Connection | None = None
        self._closer: threading.Thread | None = None
        self._closing = threading.Event()

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The endpoint's acknowledgement, where it means that the message arrived.

        Raises:
            Transient: not accepted, may pass: ENDPOINT_BUSY, CONNECT_FAILED, DESTINATION_REFUSED, TLS_FAILED,
                TLS_CERTIFICATE, CONNECTION_STALE, TIMEOUT (nothing was sent), ACK_<code>[_<error>].
            Permanent: not accepted, will not pass: BAD_MESSAGE (nothing was sent), ACK_<code>[_<error>].
            OutcomeUnknown: TIMEOUT, CONNECTION_LOST, MALFORMED_REPLY, REPLY_TOO_LARGE, ACKNOWLEDGEMENT_MISMATCH.
        """
        message = Outgoing.from_parcel(parcel)
        with my_turn(self._turn, deadline, where=self._where):
            connection = self._take() or self._open(deadline)
            try:
                self._wait_for_leave(connection, deadline, before_write)
                reply = self._exchange(connection, message, deadline)
                acknowledgement = self._matching(reply, message)
            except BaseException:
                connection.close()
                raise
            self._keep(connection)
        return settle(acknowledgement, self._decisions, reply, evidence=self._evidence())

    def _take(self) -> _Connection | None:
        connection, self._kept = self._kept, None
        if connection is None:
            return None
        if connection.kept_at + self._endpoint.idle_seconds > boottime() and connection.quiet():
            return connection
        connection.close()
        return None

    def _open(self, deadline: Deadline) -> _Connection:
        endpoint, limit = self._endpoint, self._endpoint.connect_seconds
        try:
            sock = wire.open_socket(
                endpoint.host, endpoint.port, deadline=deadline, limit_seconds=limit, reach=endpoint.reach
            )
        except OutOfReach as error:
            raise Transient(
                f"{self._where} is in a network that may not be reached; nothing was sent.",
                code="DESTINATION_REFUSED",
                evidence=self._evidence(),
            ) from error
        except OSError as error:
            raise self._nothing_sent("CONNECT_FAILED", f"cannot connect to {self._where}", error) from error
        if self._tls is None:
            return _Connection(sock, endpoint.max_reply_bytes)
        try:
            secured = wire.start_tls(
                sock,
                self._tls,
                host=endpoint.server_name or endpoint.host,
                deadline=deadline,
                limit_seconds=limit,
                settle_seconds=SETTLE_SECONDS,
            )
        except ssl.SSLCertVerificationError as error:
            what = f"{self._where} shows a certificate that cannot be trusted"
            raise self._nothing_sent("TLS_CERTIFICATE", what, error) from error
        except OSError as error:
            raise self._nothing_sent("TLS_FAILED", f"TLS with {self._where} failed", error) from error
        return _Connection(secured, endpoint.max_reply_bytes)

    def _nothing_sent(self, code: str, what: str, error: OSError) -> Transient:
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else _name(error)
        return Transient(
            f"{what[:1].upper()}{what[1:]} ({reason}); nothing was sent.",
            code=code,
            evidence={**self._evidence(), "error": reason},
        )

    def _wait_for_leave(self, connection: _Connection, deadline: Deadline, before_write: Callable[[], None]) -> None:
        before_write()
        if deadline.passed:
            raise Transient("The deadline passed before the first byte; nothing was sent.", code="TIMEOUT")
        # Closed while `before_write` took its time: seen here, it is a definite no.
        if not connection.quiet():
            raise Transient(
                f"{self._where} closed the connection; nothing was sent.",
                code="CONNECTION_STALE",
                evidence=self._evidence(),
            )

    def _exchange(self, connection: _Connection, message: Outgoing, deadline: Deadline) -> bytes:
        try:
            connection.write(frame(message.body), deadline=deadline)
            return connection.read(deadline=deadline)
        except TimeoutError as error:
            raise self._unknown("TIMEOUT", "no whole acknowledgement came in time", connection) from error
        except FrameTooLargeError as error:
            raise self._unknown("REPLY_TOO_LARGE", f"the answer is {error}", connection) from error
        except BrokenFrameError as error:
            raise self._unknown("MALFORMED_REPLY", f"the answer is no MLLP frame ({error})", connection) from error
        except OSError as error:
            what = f"the connection broke before an acknowledgement came ({_name(error)})"
            raise self._unknown("CONNECTION_LOST", what, connection) from error

    def _unknown(self, code: str, what: str, connection: _Connection) -> OutcomeUnknown:
        evidence = self._evidence()
        if connection.unread:
            evidence["acknowledgement"] = kept(connection.unread)
        return OutcomeUnknown(f"{self._where}: {what}.", code=code, evidence=evidence)

    def _matching(self, reply: bytes, message: Outgoing) -> Acknowledgement:
        return match(reply, message.control_id, evidence=self._evidence())

    def _evidence(self) -> dict[str, Any]:
        return {"endpoint": self._where}

    def _keep(self, connection: _Connection) -> None:
        if self._endpoint.idle_seconds <= 0 or self._closing.is_set():
            connection.close()
            return
        connection.kept_at = boottime()
        self._kept = connection
        if self._closer is None:
            self._closer = threading.Thread(target=self._close_when_idle, name="mllp-idle", daemon=True)
            self._closer.start()

    def _close_when_idle(self) -> None:
        """Lives as long as there is a connection to close some day."""
        while True:
            with self._turn:
                left = self._kept.kept_at + self._endpoint.idle_seconds - boottime() if self._kept else 0.0
                if left <= 0:
                    self._drop()
                    self._closer = None
                    return
            self._closing.wait(left)

    def _drop(self) -> None:
        connection, self._kept = self._kept, None
        if connection is not None:
            connection.close()

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """HL7 v2 has no question for it: always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Close the kept connection; one in use is closed by its send."""
        self._closing.set()
        if self._turn.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._turn.release()


def _name(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
