"""Places that clients take and give back: connections, followers.

In: addresses of clients. Out: whether there is room. One address may hold a share of the places, so that one stranger cannot take them all;
a network of IPv6 is one address, because whoever has it has all 2^64 of it.
"""

from __future__ import annotations

import ipaddress
from collections import Counter

IPV6_NETWORK = 64
"""Bits of an address that tell one client's network from another (RFC 4291 2.5.4)."""


class Places:
    """For one event loop."""

    def __init__(self, number: int, share: float) -> None:
        self.number = number
        self.per_address = max(1, int(number * share))
        self.taken = 0
        self._held: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """False when there is no room."""
        client = _client_of(address)
        if self.taken >= self.number or self._held[client] >= self.per_address:
            return False
        self.taken += 1
        self._held[client] += 1
        return True

    def give_back(self, address: str) -> None:
        client = _client_of(address)
        assert self._held[client] > 0, "expected a place that was taken"
        self.taken -= 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]


def _client_of(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, IPV6_NETWORK), strict=False))
