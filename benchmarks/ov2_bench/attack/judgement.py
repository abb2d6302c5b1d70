"""Whether an answer is one, or a clear refusal.

In: a `Reply`. Out: what is wrong with it, in words; nothing where all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ov2_bench.attack.wire import RETRY_AFTER, Reply

Judge = Callable[[Reply], str]
PARSER_REFUSAL = b"Invalid HTTP request received."
"""uvicorn's own, to what is no HTTP."""
SHOWN = 160


def fair(reply: Reply) -> str:
    """An answer, or a refusal that says what was expected: JSON with a code and a message; 503 says when to come again."""
    if not reply.status:
        return reply.problem
    if reply.status == 503 and RETRY_AFTER not in reply.headers:
        return f"503 without Retry-After: {_shown(reply)}"
    if reply.status >= 500 and reply.status != 503:
        return f"{reply.status}: {_shown(reply)}"
    if b"Traceback" in reply.body:
        return f"{reply.status} with a traceback: {_shown(reply)}"
    return "" if reply.status < 400 or _is_clear(reply) else f"{reply.status} without a code and a message: {_shown(reply)}"


def refused(*statuses: int) -> Judge:
    """A clear refusal with one of these statuses; nothing else will do."""

    def judge(reply: Reply) -> str:
        if reply.status in statuses:
            return fair(reply)
        got = reply.problem or f"{reply.status}: {_shown(reply)}"
        return f"expected {' or '.join(map(str, statuses))}, got {got}"

    return judge


def answered(reply: Reply) -> str:
    """200, 201, 204 or 206."""
    return "" if 200 <= reply.status < 300 else f"expected an answer, got {reply.problem or f'{reply.status}: {_shown(reply)}'}"


def refused_or_closed(*statuses: int) -> Judge:
    """As `refused`, and a connection that is closed on whoever sends too much, or nothing, will do as well."""
    clear = refused(*statuses)
    return lambda reply: "" if reply.problem.startswith("closed") else clear(reply)


def keeps(secrets: Collection[str], judge: Judge = fair) -> Judge:
    """As `judge`, and none of these is in the answer."""

    def checked(reply: Reply) -> str:
        told = next((secret for secret in secrets if secret.encode() in reply.body), None)
        return judge(reply) if told is None else f"{reply.status} tells {told!r}: {_shown(reply)}"

    return checked


def _is_clear(reply: Reply) -> bool:
    if reply.body.startswith(PARSER_REFUSAL) or not reply.body:
        return True
    told = reply.json()
    error = told.get("error") if isinstance(told, dict) else None
    return isinstance(error, dict) and bool(error.get("code")) and bool(error.get("message"))


def _shown(reply: Reply) -> str:
    return repr(reply.body[:SHOWN].decode("utf-8", "replace"))
