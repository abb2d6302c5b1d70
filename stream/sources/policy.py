"""Which addresses may be opened at all.

In: the lists of the `ingest:` settings, and an `Address`. Out: the same address with what was checked written into it (a resolved path, an IP
address in the place of a name), so that what is opened is what was checked; or `SourceError` that names the setting.

Without lists everything goes that `parse_address` reads: addresses come from the owner's own file. Devices, pipes and the system's own
file systems are never read.
"""

from __future__ import annotations

import ipaddress
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from stream.errors import SourceError
from stream.sources.address import Address

KNOWN_SCHEMES = ("file", "rtsp", "rtsps", "listen", "whip", "replay", "http", "https", "udp", "tcp", "srt")
_NEVER = (Path("/proc"), Path("/sys"), Path("/dev"))
"""File systems that are the system's own. /dev/shm is memory, and may hold files like any folder."""
_SHARED_MEMORY = Path("/dev/shm")
_BY_NAME = frozenset({"rtsps", "https"})
"""Schemes whose certificate is for the name, so the name stays in the URL: the certificate then says that the answer is the right one."""
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def resolve(host: str) -> list[str]:
    """IP addresses of a name, by the system's resolver. Raises `OSError`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePolicy:
    """Limits on sources; None is no limit.

    - `schemes`: of `KNOWN_SCHEMES`.
    - `hosts`: names (`cam.example`), wildcards (`*.cams.example`), IP addresses or networks (`192.0.2.0/24`). A name that is not listed is
      resolved, and every one of its addresses must be in a listed network.
    - `folders`: files and packet logs must lie in or under one, links followed.

    Raises `SourceError` for an entry that cannot be read.
    """

    schemes: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    folders: tuple[Path, ...] | None = None

    def __post_init__(self) -> None:
        for scheme in self.schemes or ():
            if scheme not in KNOWN_SCHEMES:
                raise SourceError(f"ingest.schemes: expected some of {', '.join(KNOWN_SCHEMES)}, got {scheme!r}")
        for host in self.hosts or ():
            if not host or "://" in host or "@" in host:
                raise SourceError(
                    "ingest.hosts: expected names, wildcards, IP addresses or networks, got an empty one or a URL"
                )
            if "/" in host and _network(host) is None:
                raise SourceError(f"ingest.hosts: expected a network as 192.0.2.0/24, got {host!r}")

    def check(self, address: Address, *, resolve: Callable[[str], list[str]] = resolve) -> Address:
        """The address to open. Raises `SourceError` when it is not allowed, or is a file that is none."""
        if self.schemes is not None and address.scheme not in self.schemes:
            raise SourceError(f"{address.shown}: {address.scheme} is not among ingest.schemes ({_listed(self.schemes)})")
        if address.kind in ("file", "replay"):
            return replace(address, opened=str(self._path(address)))
        if address.host is None or self.hosts is None:
            return address
        place = self.place(address.host, address.shown, resolve)
        return address if address.scheme in _BY_NAME else replace(address, opened=_at(address.url, place))

    def place(self, host: str, shown: str, resolve: Callable[[str], list[str]] = resolve) -> str:
        """Where to connect to for `host`: an IP address that was checked, or the host itself where no limit is set. Raises `SourceError`."""
        if self.hosts is None:
            return host
        try:
            found = [host] if _ip(host) is not None else resolve(host)
        except OSError:
            raise SourceError(
                f"{shown}: no address is known for the name {host}; check the spelling, or the resolver"
            ) from None
        if not self._lists(host) and not all(self._lists(each) for each in found):
            raise SourceError(f"{shown}: {host} is not among ingest.hosts ({_listed(self.hosts)})")
        return found[0]

    def _lists(self, host: str) -> bool:
        assert self.hosts is not None
        ip = _ip(host)
        if ip is None:
            return any(fnmatchcase(host.lower().rstrip("."), entry.lower()) for entry in self.hosts if _network(entry) is None)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for entry in self.hosts if (network := _network(entry)) is not None)

    def _path(self, address: Address) -> Path:
        """The file or folder itself, every link followed."""
        shown, named = address.shown, Path(address.url)
        try:
            path = named.resolve()
            allowed = None if self.folders is None else [folder.resolve() for folder in self.folders]
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle (Python 3.11 and 3.12)
            raise SourceError(f"{shown}: expected a path that leads somewhere, got {type(error).__name__}") from None
        if allowed is not None and not any(path.is_relative_to(folder) for folder in allowed):
            raise SourceError(f"{shown}: not in a folder of ingest.folders ({_listed(self.folders or ())}), links followed")
        if any(path.is_relative_to(folder) for folder in _NEVER) and not path.is_relative_to(_SHARED_MEMORY):
            raise SourceError(f"{shown}: expected a file, got a part of the system ({path.parts[1]})")
        _check_plain(path, shown)
        return path


def _check_plain(path: Path, shown: str) -> None:
    """A device or a pipe may block for ever, or do something when read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # opening it tells why
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SourceError(f"{shown}: expected a file, got a device, a pipe or a socket")


def _ip(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _at(url: str, place: str) -> str:
    """`url` with its host replaced by an IP address."""
    parts = urlsplit(url)
    user_info, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port is not None else ""
    host = f"[{place}]" if ":" in place else place
    return parts._replace(netloc=f"{user_info}{at}{host}{port}").geturl()


def _listed(entries: tuple[object, ...]) -> str:
    return ", ".join(map(str, entries)) or "none"
