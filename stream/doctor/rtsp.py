"""Just enough RTSP to ask a camera what it has: OPTIONS and DESCRIBE, with basic and digest credentials.

In: a socket, an address. Out: `Answer`. Blocking; the socket's timeout bounds every wait, and an answer's size is bounded. Neither
credentials nor what the camera wrote beyond status and description are kept.
"""

from __future__ import annotations

import base64
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from stream.doctor.digest import authorization

MOST_BYTES = 1 << 16
"""An answer longer than this is none (a description has some hundred bytes)."""
PORTS = {"rtsp": 554, "rtsps": 322}
"""Registered ports (RFC 7826 22.14)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status code, headers (lower-case names; challenges in order), body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class Conversation:
    """Requests over one connection. Raises `OSError` (`TimeoutError` among them) and `ValueError` for what is no RTSP."""

    def __init__(self, connection: socket.socket, url: str) -> None:
        self._connection = connection
        parts = urlsplit(url)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._number = 0
        self._left = b""

    @property
    def has_credentials(self) -> bool:
        return bool(self._user or self._password)

    def ask(self, method: str, *, body_type: str = "") -> Answer:
        """One request; asked again with credentials where the camera wants them and the address has some."""
        answer = self._send(method, body_type, "")
        if answer.status == 401 and self.has_credentials:
            credentials = self._credentials(method, answer)
            if credentials:
                return self._send(method, body_type, credentials)
        return answer

    def _send(self, method: str, body_type: str, credentials: str) -> Answer:
        self._number += 1
        lines = [f"{method} {self._url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: ov2-doctor"]
        lines += [f"Accept: {body_type}"] if body_type else []
        lines += [f"Authorization: {credentials}"] if credentials else []
        self._connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return self._receive()

    def _receive(self) -> Answer:
        head, rest = self._until_blank_line()
        first, *lines = head.decode("utf-8", "replace").split("\r\n")
        if not first.startswith("RTSP/1.") or not first[9:12].isdigit():
            raise ValueError("expected an RTSP answer, got something else")
        headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = next((int(value) for name, value in headers if name == "content-length" and value.isdigit()), 0)
        while len(rest) < min(length, MOST_BYTES):
            rest += self._more()
        self._left = rest[length:]
        return Answer(int(first[9:12]), headers, rest[:length].decode("utf-8", "replace"))

    def _until_blank_line(self) -> tuple[bytes, bytes]:
        data = self._left
        while b"\r\n\r\n" not in data:
            if len(data) > MOST_BYTES:
                raise ValueError("expected an RTSP answer, got something longer")
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def _more(self) -> bytes:
        data = self._connection.recv(4096)
        if not data:
            raise ConnectionResetError("the camera closed the connection")
        return data

    def _credentials(self, method: str, answer: Answer) -> str:
        """For the first challenge that we know: digest before basic (RFC 7826 19.1)."""
        challenges = [value for name, value in answer.headers if name == "www-authenticate"]
        for challenge in challenges:
            if challenge.lower().startswith("digest"):
                given = authorization(challenge, method, self._url, self._user, self._password)
                if given:
                    return given
        if any(challenge.lower().startswith("basic") for challenge in challenges):
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return ""
