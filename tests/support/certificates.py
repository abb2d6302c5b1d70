"""A certificate of the tests' own, for 127.0.0.1, made by the openssl program. No test in here."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """`public`: what clients trust. `both`: certificate and key, for servers."""

    public: Path
    both: Path


def make_certificate(folder: Path) -> Certificate:
    key, public, both = folder / "key.pem", folder / "public.pem", folder / "both.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(public), *names], check=True, capture_output=True)
    both.write_bytes(public.read_bytes() + key.read_bytes())
    return Certificate(public, both)
