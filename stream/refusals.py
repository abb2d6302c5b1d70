"""What the API's description says of refusals.

In: statuses. Out: entries for `/openapi.json`: which statuses a route may answer with, and the one shape of all of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Responses = dict[int | str, dict[str, Any]]

SCHEMAS = "#/components/schemas/"
REASONS = {
    400: "what came is no HTTP",
    401: "a bearer token is needed",
    404: "there is none of that name",
    406: "the offer has no H.264 that can be taken",
    408: "headers or a body did not come in time",
    409: "the camera is of another kind, or not live, or taken",
    412: "If-Match names ICE credentials that were replaced",
    413: "the body is too long",
    415: "the body is of another type",
    416: "Range names bytes that are not there",
    421: "the Host header names none of ours",
    422: "the request makes no sense",
    428: "If-Match is missing",
    501: "a library that this needs is not installed",
    503: "not now: too many clients, or nothing seen yet; Retry-After says when to ask again",
}


class Problem(BaseModel):
    """`code`: a short word with underscores; `setting`: what to set so that it is not refused."""

    code: str
    message: str
    expected: str = ""
    got: str = ""
    setting: str = ""


class Refusal(BaseModel):
    """What is answered instead of an answer."""

    error: Problem


def refusals(*statuses: int) -> Responses:
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}{Refusal.__name__}"}}}
    return {status: {"description": REASONS[status], "content": content} for status in statuses}


def schemas() -> dict[str, Any]:
    """What the entries refer to, for `components.schemas`. (A model in each of some hundred entries would be built a hundred times.)"""
    made = Refusal.model_json_schema(ref_template=SCHEMAS + "{model}")
    return {**made.pop("$defs"), Refusal.__name__: made}


def anywhere() -> Responses:
    """What may be answered before any route is asked."""
    return refusals(400, 401, 408, 421, 503)
