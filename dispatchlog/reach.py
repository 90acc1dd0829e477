"""Owns which addresses may be connected to where people say the destination; looks no name up and opens nothing.

A destination that somebody enters could point at this machine, at its cloud's metadata service, or at whatever else only
this network can reach. So every address that a name leads to is judged before it is connected to, and the connection goes
to the address that was judged: a name that answers otherwise the next moment changes nothing. How an address was spelt
(2130706433, 0177.0.0.1) does not matter for the same reason.

The registries: IANA IPv4 and IPv6 special-purpose addresses (RFC 6890), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056,
RFC 7526), Teredo (RFC 4380). Python 3.11 calls NAT64 and 6to4 global, whatever they lead to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


LOOPBACK = _networks("127.0.0.0/8", "::1/128")
# What may be named as a network of one's own: private, shared by a carrier, or this machine.
NAMEABLE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7") + LOOPBACK
# Metadata services of clouds within networks that may be named; the others are link-local.
_METADATA = _networks("100.100.100.200/32", "fd00:ec2::254/128", "fd20:ce::254/128")
_UNICAST = ipaddress.ip_network("2000::/3")
# 6to4, Teredo and the relays of 6to4 lead through others' machines to an address that stands inside; of the protocols'
# own addresses Python 3.11 calls most global.
_NOWHERE = _networks("2002::/16", "2001::/32", "192.88.99.0/24", "192.0.0.0/24")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def literal_address(host: str) -> str | None:
    """The address that a host is, in whichever of the spellings that the socket layer takes; None: it is a name."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(host.partition("%")[0]))
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None


def is_this_machine(host: str) -> bool:
    """Whether the host is this machine's own address, or the name of it."""
    address = literal_address(host)
    return host == "localhost" if address is None else _is_in(ipaddress.ip_address(address), LOOPBACK)


class OutOfReach(OSError):
    """A destination leads only to addresses that may not be connected to; nothing was opened."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Public addresses, and those of some networks of one's own (of NAMEABLE).

    Attributes:
        own: the networks that may be reached although they are not public.
    """

    own: Sequence[Network] = ()

    def allows(self, text: str) -> bool:
        """Whether this address, as the name service or the socket layer writes it, may be connected to."""
        address = _meant(ipaddress.ip_address(text.partition("%")[0]))
        if _is_in(address, _METADATA):
            return False
        return _is_in(address, self.own) or _is_public(address)


def _meant(address: Address) -> Address:
    """The address that is spoken to in the end, where it stands inside of another one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address


def _is_public(address: Address) -> bool:
    if address.is_multicast or _is_in(address, _NOWHERE):
        return False
    return address.is_global and (address.version == 4 or address in _UNICAST)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
