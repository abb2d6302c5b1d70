"""Who may come to the embedded broker: a name and a random password, kept in a file that only its owner may read.

In: a file of the data folder. Out: the credentials in it; new ones where there are none, or where they are damaged. They stay the same over
restarts, so that Home Assistant need not be told again; whoever removes the file gets new ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from stream.private_file import write_private

USERNAME = "ov2"
PASSWORD_BYTES = 24

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The password is never shown."""

    username: str
    password: str = field(repr=False)


def credentials_in(path: Path) -> Credentials | None:
    """None where there is no file; None, and a warning, where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    try:
        body = json.loads(text)
        found = Credentials(username=body["username"], password=body["password"])
        if body["check"] == _check(found):
            return found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    log.warning("%s: expected the broker's credentials, got a damaged file; new ones are made", path.name)
    return None


def new_credentials() -> Credentials:
    return Credentials(username=USERNAME, password=secrets.token_urlsafe(PASSWORD_BYTES))


def write_credentials(path: Path, credentials: Credentials, host: str, port: int) -> None:
    """With the address, for whoever sets up a client by hand. Raises `OSError`."""
    body = {
        "host": host,
        "port": port,
        "username": credentials.username,
        "password": credentials.password,
        "check": _check(credentials),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(body) + "\n")


def _check(credentials: Credentials) -> str:
    """A flipped bit on the disk must not become a password that nobody knows."""
    return hashlib.sha256(f"{credentials.username}\n{credentials.password}".encode()).hexdigest()[:16]
