"""HTTP for sources: playlists, their segments, and answers that never end.

In: URLs that FFmpeg's demuxers ask for. Out: bytes. FFmpeg's own HTTP would follow a redirect or a playlist anywhere; here every request,
redirect and segment is http:// or https://, to a host that the policy allows, at the very address that was checked. No proxy is used.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import weakref
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDefaultErrorHandler,
    HTTPDigestAuthHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPPasswordMgrWithDefaultRealm,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
)

from stream.errors import SourceError, TooLargeError
from stream.sources.address import Address, check_url, redact
from stream.sources.intake import Answer, Intake
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy

_WEB = ("http", "https")
_AGENT = "ov2-live"
_REFUSED_TO_SERVE = (401, 403)
_GONE = (404, 410)


class Fetcher:
    """Opens URLs for one source, with its credentials, which go to its own host alone."""

    def __init__(self, address: Address, options: OpenOptions, policy: SourcePolicy) -> None:
        self._shown = address.shown
        self._wait_s: float | None = options.timeout_s
        self.is_broken = False
        self.intake = Intake(options.limits, options.timeout_s)
        self._policy = policy
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._bodies: weakref.WeakSet[Body] = weakref.WeakSet()
        self._context = tls_context(options)
        self._opener = self._make_opener(address)

    def __call__(self, url: str, flags: int = 0, options: dict[str, str] | None = None) -> Body:
        """What FFmpeg calls to open `url`. Raises `SourceError`."""
        shown = self._check(url)
        if self.is_broken:
            return Body(io.BytesIO(), self)
        try:
            self.intake.request()
        except SourceError as error:
            self.is_broken = True
            raise SourceError(f"{self._shown}: {error}") from None
        try:
            answer = self._opener.open(Request(_bare(url), headers={"User-Agent": _AGENT}), timeout=self._wait_s)
        except HTTPError as error:
            error.close()
            raise SourceError(f"{self._shown}: {_http_failure(error.code, shown)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self._shown}: {self._failure(error)}") from None
        body = Body(answer, self)
        self._bodies.add(body)
        return body

    def close(self) -> None:
        """Let go of every answer: FFmpeg closes segments, and leaves the rest to us."""
        for body in list(self._bodies):
            body.close()

    def settle(self, wait_s: float | None) -> None:
        """The source is open: from now on wait for bytes as long as for packets."""
        self.intake.settle()
        self._wait_s = wait_s
        for each in list(self._sockets):
            each.settimeout(wait_s)

    def connect(self, host: str, port: int, timeout_s: float | None) -> socket.socket:
        """To a host that the policy allows."""
        place = self._policy.place(host.strip("[]").lower(), self._shown)
        connected = socket.create_connection((place, port), timeout_s)
        self._sockets.add(connected)
        return connected

    def broke(self, error: Exception) -> SourceError:
        """What went wrong in reading."""
        if isinstance(error, TooLargeError):
            return error.at(self._shown)
        return SourceError(f"{self._shown}: {self._failure(error)}")

    def _check(self, url: str) -> str:
        scheme = urlsplit(url).scheme.lower()
        if scheme not in _WEB:
            raise SourceError(f"{self._shown}: it names {scheme or 'a file'}: where http:// or https:// is expected")
        try:
            check_url(url)
        except SourceError as error:
            raise SourceError(f"{self._shown}: it names {error}") from None
        allowed = self._policy.schemes
        if allowed is not None and scheme not in allowed:
            raise SourceError(f"{self._shown}: {scheme} is not among ingest.schemes ({', '.join(allowed)})")
        return redact(url)

    def _make_opener(self, address: Address) -> OpenerDirector:
        passwords = HTTPPasswordMgrWithDefaultRealm()
        parts = urlsplit(address.url)
        if parts.username is not None:
            passwords.add_password(None, _bare(address.url), unquote(parts.username), unquote(parts.password or ""))
            root = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="/", query="").geturl()
            passwords.add_password(None, root, unquote(parts.username), unquote(parts.password or ""))
        opener = OpenerDirector()
        for handler in (
            _Plain(self),
            _Secure(self, self._context),
            _Redirects(self),
            _Basic(passwords),
            _Digest(passwords),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
        ):
            opener.add_handler(handler)
        return opener

    def _failure(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            return "its certificate is not one that this machine trusts; set tls_ca_file to its authority, or tls_verify: false"
        if isinstance(reason, ssl.SSLError):
            return "expected TLS, got something else; is it http:// instead?"
        if isinstance(reason, TimeoutError):
            return f"no answer within {self._wait_s:g} s (timeout_s, stale_s)"
        if isinstance(reason, ConnectionRefusedError):
            return "connection refused; check the address and port"
        if isinstance(reason, socket.gaierror):
            return "no address is known for its name; check the spelling"
        return f"the connection broke ({type(reason).__name__})"


class Body:
    """The bytes of one answer, as they come."""

    def __init__(self, answer: Any, fetcher: Fetcher) -> None:
        self._answer = answer
        self._fetcher = fetcher
        self._length = Answer(fetcher.intake)

    def read(self, num_bytes: int) -> bytes:
        """Nothing more once an answer broke: FFmpeg asks again, and for other answers, before it gives up."""
        if self._fetcher.is_broken:
            return b""
        try:
            data = bytes(self._answer.read1(num_bytes))
            self._length.take(data)
            self._fetcher.intake.take(len(data))
        except (OSError, http.client.HTTPException, TooLargeError) as error:
            self._fetcher.is_broken = True
            raise self._fetcher.broke(error) from None
        return data

    def close(self) -> None:
        self._answer.close()


class _PlainConnection(http.client.HTTPConnection):
    def __init__(self, *args: Any, fetcher: Fetcher, **more: Any) -> None:
        super().__init__(*args, **more)
        self._fetcher = fetcher

    def connect(self) -> None:
        self.sock = self._fetcher.connect(self.host, self.port, self.timeout)


class _SecureConnection(_PlainConnection):
    default_port = http.client.HTTPS_PORT

    def __init__(self, *args: Any, context: ssl.SSLContext, **more: Any) -> None:
        super().__init__(*args, **more)
        self._context = context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host.strip("[]"))
        self._fetcher._sockets.add(self.sock)


class _Plain(HTTPHandler):
    def __init__(self, fetcher: Fetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def http_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, request, fetcher=self._fetcher)  # type: ignore[arg-type]


class _Secure(HTTPSHandler):
    def __init__(self, fetcher: Fetcher, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._fetcher, self._tls = fetcher, context

    def https_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request, fetcher=self._fetcher, context=self._tls)  # type: ignore[arg-type]


class _Digest(HTTPDigestAuthHandler):
    def http_error_401(self, req: Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()  # the library would leave it to the garbage collector
        return super().http_error_401(req, fp, code, msg, headers)


class _Basic(HTTPBasicAuthHandler):
    def http_error_401(self, req: Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()
        try:
            return super().http_error_401(req, fp, code, msg, headers)
        except ValueError:  # what the server wants is not Basic
            return None


class _Redirects(HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        try:
            self._fetcher._check(newurl)
        except SourceError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def tls_context(options: OpenOptions) -> ssl.SSLContext:
    """What certificates are held against. Raises `SourceError` for a `tls_ca_file` that holds none."""
    try:
        context = ssl.create_default_context(cafile=str(options.tls_ca_file) if options.tls_ca_file else None)
    except OSError as error:  # ssl.SSLError is one
        raise SourceError(f"tls_ca_file: expected a PEM file of certificates, got {type(error).__name__}") from None
    if not options.tls_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _bare(url: str) -> str:
    """`url` without user and password, which go into a header."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _http_failure(code: int, shown: str) -> str:
    if code in _REFUSED_TO_SERVE:
        return f"the server refused the user or password ({code}); check both in the URL"
    if code in _GONE:
        return f"the server has no {urlsplit(shown).path} ({code}); check the path"
    if 300 <= code < 400:
        return f"the server redirects without end, or to where neither http:// nor https:// leads ({code})"
    return f"the server answered {code} for {urlsplit(shown).path}"
