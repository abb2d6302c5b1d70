"""Where the broker is, as whom to go there, and whom to trust.

In: settings. Out: a `Broker` that shows no credentials, and its TLS context.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from stream.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """`ca_file`: whom to trust, instead of the system's authorities. `cert_file` and `key_file`: who we are. `insecure`: believe any
    certificate, for a first try."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Raises `SettingsError` for a file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"mqtt.ca_file: expected a PEM file of certificates at {self.ca_file}, got {error}") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except (OSError, ssl.SSLError) as error:
                where = f"{self.cert_file} and {self.key_file or 'the same file'}"
                raise SettingsError(
                    f"mqtt.cert_file, mqtt.key_file: expected a PEM certificate and its key at {where}, got {error}"
                ) from None
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where to connect, and as whom."""

    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    client_id: str | None = None
    tls: Tls | None = None
    keepalive_s: int = 30

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
