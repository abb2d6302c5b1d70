"""Errors of the client.

ClientError
├── ConnectionFailedError   nobody answers at the address
├── RefusedError            the service answered with an error: `status`, `code`, `retry_after_s`
└── ProtocolError           what came is not what this client understands
"""

from __future__ import annotations

import json
from typing import Any


class ClientError(Exception):
    """Root of everything this package raises."""


class ConnectionFailedError(ClientError):
    """Nobody answers at the address, or the connection broke."""


class ProtocolError(ClientError):
    """What came is not what this client understands."""


class RefusedError(ClientError):
    """The service answered with an error."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


def refused(status: int, body: bytes | str | dict[str, Any], retry_after: str | None = None) -> RefusedError:
    """The error that an answer with a status of 400 or above, or an `error` event, holds."""
    try:
        parsed = body if isinstance(body, dict) else json.loads(body)
        error = parsed["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "http", f"expected a JSON error from the service, got status {status}"
    return RefusedError(status, code, message, float(retry_after) if retry_after and retry_after.isdigit() else None)
