"""Names of hosts: as a Host header and as `server.hosts` give them, and what this machine calls itself."""

from __future__ import annotations

import ipaddress
import re
import socket

ANY_HOST = "*"


LOCAL = "localhost"


LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"


NAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*")


AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#\s]+)(:[0-9]{0,5})?")
"""RFC 3986 3.2.2, 3.2.3: a name or address, an IPv6 address in brackets, and a port."""


def host_of(header: str) -> str | None:
    """The host that a Host header names: in small letters, without port, brackets and the last dot; None for nonsense."""
    found = AUTHORITY.fullmatch(header.strip(" \t"))
    if found is None:
        return None
    host = found[1].strip("[]").lower().removesuffix(".")
    return host if is_address(host) or (found[1][0] != "[" and NAME.fullmatch(host)) else None


def host_name(given: str) -> str:
    """An entry of `server.hosts` as it is compared. Raises `ValueError`."""
    name = given.strip().lower().removesuffix(".")
    if name != ANY_HOST and not is_address(name) and not NAME.fullmatch(name.removeprefix("*.")):
        raise ValueError("expected a host name without scheme and port, *.example.org, or *")
    return name


def own_names() -> set[str]:
    """What this machine calls itself, and what others of its network call it (RFC 6762: under .local)."""
    name = socket.gethostname().lower().removesuffix(".")
    first = name.partition(".")[0]
    return {name, first, f"{first}.local"} - {"", ".local"}


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if is_address(host) else host == LOCAL
