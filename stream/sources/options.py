"""How a source is opened: everything that may be set for one, with its default.

In: keyword arguments. Out: `OpenOptions`, or `SourceError` that names the option.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from stream.errors import SourceError
from stream.sources.limits import IngestLimits

Transport = Literal["auto", "tcp", "udp", "http"]
"""How RTSP carries its packets: inside the connection, beside it, or tunnelled through HTTP. `auto`: TCP, or UDP where the camera refuses
TCP (461 Unsupported Transport)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """- `timeout_s`: longest wait for an answer, or for a publisher, when opening.
    - `stale_s`: longest wait for the next packet of a live source; None waits for ever (a camera that sends on events alone); as long as
      `timeout_s` unless told.
    - `transport`: of RTSP.
    - `tls_verify`: whether the certificate of rtsps:// and https:// must be one that this machine trusts; `tls_ca_file`: whom to trust.
    - `low_latency`: over UDP, do not wait for packets that come out of order.
    - `paced`: give a file's packets at the speed they were recorded, else as fast as they are taken.
    - `loop`: begin a file again when it ends; media time goes on, and each beginning is a discontinuity.
    - `limits`: how much of it is taken.
    """

    timeout_s: float = 10.0
    stale_s: float | Literal["timeout_s"] | None = "timeout_s"
    transport: Transport = "auto"
    tls_verify: bool = True
    tls_ca_file: Path | None = None
    low_latency: bool = False
    paced: bool = False
    loop: bool = False
    limits: IngestLimits = field(default_factory=IngestLimits)

    def __post_init__(self) -> None:
        for name, value in (("timeout_s", self.timeout_s), ("stale_s", self.longest_wait_s)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise SourceError(f"{name}: expected seconds above zero, got {value!r}")
        if self.transport not in get_args(Transport):
            raise SourceError(f"transport: expected one of {', '.join(get_args(Transport))}, got {self.transport!r}")

    @property
    def longest_wait_s(self) -> float | None:
        """For the next packet of a live source."""
        return self.timeout_s if self.stale_s == "timeout_s" else self.stale_s
