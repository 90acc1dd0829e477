"""Owns socket calls that end at a total deadline; knows no protocol and never decides what a failure means.

A socket time-out restarts with every `recv`, so a peer that drips one byte a second holds a plain client for ever.
Every call here asks the deadline again first. One thing needs no care of ours: Python's TLS handshake, read and write
take the socket's time-out as a total for the call (`_ssl.c` computes its end once).
"""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dispatchlog.engine.deadline import Deadline
from dispatchlog.reach import OutOfReach, Reach

# What getaddrinfo returns: family, kind, protocol, canonical name, address.
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


def seconds_left(deadline: Deadline, limit_seconds: float | None = None) -> float:
    """The time-out for the next socket call: what the deadline leaves, at most `limit_seconds`.

    Raises:
        TimeoutError: nothing is left (a zero time-out would make the socket non-blocking instead).
    """
    remaining = deadline.remaining_seconds()
    if remaining <= 0:
        raise TimeoutError("the total deadline has passed")
    return remaining if limit_seconds is None else min(remaining, limit_seconds)


def open_socket(
    host: str, port: int, *, deadline: Deadline, limit_seconds: float | None = None, reach: Reach | None = None
) -> socket.socket:
    """A connected TCP socket to the first address of `host` that answers.

    The time is shared among the addresses, so one that swallows packets leaves some for the next. The name is looked up
    once, and with `reach` only the addresses found then that it allows are connected to.

    Raises:
        OutOfReach: none of its addresses is allowed.
        OSError: the name does not resolve, nothing listens, or (TimeoutError) the time is over.
    """
    addresses = within(reach, host, resolve(host, port, deadline=deadline))
    failure: OSError = OSError(f"{host} has no address")
    for index, address in enumerate(addresses):
        share = deadline.remaining_seconds() / (len(addresses) - index)
        limit = share if limit_seconds is None else min(share, limit_seconds)
        try:
            return _connect(address, seconds_left(deadline, limit))
        except OSError as error:
            failure = error
    raise failure


def within(reach: Reach | None, host: str, addresses: Sequence[_Address]) -> Sequence[_Address]:
    """Those of a host's addresses that may be connected to. Raises OutOfReach: there are some, and none may."""
    if reach is None:
        return addresses
    allowed = [address for address in addresses if reach.allows(str(address[4][0]))]
    if addresses and not allowed:
        raise OutOfReach(f"{host} leads to addresses that may not be connected to")
    return allowed


def _connect(address: _Address, timeout_seconds: float) -> socket.socket:
    family, kind, protocol, _, target = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout_seconds)
        sock.connect(target)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def resolve(host: str, port: int, *, deadline: Deadline) -> Sequence[_Address]:
    """Where a name leads. `getaddrinfo` cannot be interrupted, so a thread that asks it is left behind when time is over.

    Raises:
        OSError: nobody knows it, or (TimeoutError) the time is over.
    """
    with suppress(ValueError):
        ipaddress.ip_address(host.partition("%")[0])
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found: list[Sequence[_Address]] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            failed.append(error)
        except UnicodeError as error:  # a label over 63 octets
            failed.append(OSError(f"{host!r} is not a host name: {error}"))

    resolver = threading.Thread(target=ask, name="gateway-resolver", daemon=True)
    resolver.start()
    resolver.join(seconds_left(deadline))
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"resolving {host} took too long")
    return found[0]


def start_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    *,
    host: str,
    deadline: Deadline,
    limit_seconds: float | None = None,
    settle_seconds: float = 0.0,
) -> ssl.SSLSocket:
    """The same connection under TLS; it is closed when the handshake fails.

    A TLS 1.3 client is done before the server has judged the client's certificate (RFC 8446 section 4.4.2.4). For at
    most `settle_seconds` we wait for the word that most servers say next, a session ticket or a refusal, so that a
    refusal is seen while nothing has been sent.

    Raises:
        OSError: ssl.SSLCertVerificationError, another ssl.SSLError, a reset, or TimeoutError.
    """
    try:
        sock.settimeout(seconds_left(deadline, limit_seconds))
        secured = context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    if settle_seconds and secured.version() == "TLSv1.3":
        try:
            _hear_first_word(secured, min(settle_seconds, seconds_left(deadline)))
        except BaseException:
            secured.close()
            raise
    return secured


def _hear_first_word(secured: ssl.SSLSocket, timeout_seconds: float) -> None:
    if not has_news(secured, timeout_seconds=timeout_seconds):
        return
    secured.setblocking(False)
    try:
        said = secured.recv(1)
    except ssl.SSLWantReadError:
        return  # a ticket
    raise ConnectionResetError("it spoke before it was asked" if said else "it closed after the handshake")


def read_some(sock: socket.socket, max_bytes: int, *, deadline: Deadline, limit_seconds: float | None = None) -> bytes:
    """Up to `max_bytes`; empty when the peer has closed. Raises OSError (TimeoutError at the deadline)."""
    sock.settimeout(seconds_left(deadline, limit_seconds))
    return sock.recv(max_bytes)


def write_all(sock: socket.socket, data: bytes, *, deadline: Deadline, limit_seconds: float | None = None) -> None:
    """Write everything. Raises OSError (TimeoutError at the deadline); some of it may have left by then."""
    view = memoryview(data)
    while view:
        sock.settimeout(seconds_left(deadline, limit_seconds))
        view = view[sock.send(view) :]


def has_news(sock: socket.socket, *, timeout_seconds: float = 0.0) -> bool:
    """Whether an idle connection became readable: its peer closed it, or said something nobody asked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))
