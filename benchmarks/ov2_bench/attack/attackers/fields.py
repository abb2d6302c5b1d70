"""Any JSON type in any field of any route, any text in any part of a path: an answer or a clear refusal.

In: a scene, a number of cases; what can be asked is read from the service's own OpenAPI. Out: cases in its ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

from ov2_bench.attack.cases import TEXTS, any_bytes, any_json, any_text, json_object
from ov2_bench.attack.judgement import keeps
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA, WATCH

Case = Callable[[], Awaitable[object]]
ENDLESS = "/v1/events/stream"
GOOD = {"question": '"Is there a car?"', "max_tokens": "1", "stream": "false", "sentence": '"something is there"'}
"""What fields hold while another is off."""
OPERATIONS = ("get", "post", "put", "patch", "delete")
HEADERS = (
    "Accept",
    "Last-Event-ID",
    "Range",
    "If-Match",
    "If-None-Match",
    "Content-Type",
    "Accept-Encoding",
    "Cookie",
    "X-Forwarded-Host",
)


async def strike(scene: Scene, count: int) -> None:
    described = await scene.target.get("/openapi.json")
    if not described:
        await scene.judged("expected the service's OpenAPI, got none", "GET /openapi.json")
        return
    await scene.fan(_cases(scene, described, count))
    await _clean_up(scene)
    await scene.honest("any JSON in any field")


def _cases(scene: Scene, described: dict[str, Any], count: int) -> Iterator[Case]:
    operations = [
        (method, path, operation)
        for path, methods in sorted(described["paths"].items())
        for method, operation in sorted(methods.items())
        if method in OPERATIONS
    ]
    judge = keeps([str(scene.target.data.resolve())])
    for _ in range(count):
        method, path, operation = scene.rng.choice(operations)
        given = _case(scene, described, method, path, operation)
        yield lambda given=given: scene.case(**given, judge=judge)  # type: ignore[misc]


def _case(scene: Scene, described: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """One request of which one thing is off."""
    rng = scene.rng
    fields = _fields(described, operation)
    places = ["path", "query", "header", *(["field", "field", "field", "body"] if fields else [])]
    place = rng.choice(places)
    target = _path(scene, path, is_off=place == "path") + _query(scene, operation, is_off=place == "query")
    body = b""
    if place == "body":
        body = rng.choice((any_bytes(rng), any_json(rng).encode("utf-8", "replace"))) or b"{"
    elif fields:
        good = {name: GOOD[name] for name in fields if name in GOOD}
        off = {rng.choice([*fields, "unknown"]): any_json(rng) for _ in range(rng.randint(1, 2))} if place == "field" else {}
        body = json_object({**good, **off})
    headers = {rng.choice(HEADERS): _header(any_text(rng))} if place == "header" else {}
    return {
        "method": method.upper(), "path": target, "body": body, "headers": headers, "head_only": path == ENDLESS,
    }  # fmt: skip


def _fields(described: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return sorted(described.get("components", {}).get("schemas", {}).get(name, {}).get("properties", {}))


def _path(scene: Scene, path: str, *, is_off: bool) -> str:
    parts = {"name": CAMERA, "camera": CAMERA, "event_id": "1.000000-aaaaaa", "secret": "secret"}
    for part, value in parts.items():
        is_watch = part == "name" and "/watches/" in path
        text = any_text(scene.rng) if is_off else "fuzz" if is_watch else value
        if is_off and text == WATCH:
            text = "fuzz"
        path = path.replace(f"{{{part}}}", quote(text.encode("utf-8", "replace"), safe="") or "%20")
    return path


def _query(scene: Scene, operation: dict[str, Any], *, is_off: bool) -> str:
    rng, wanted = scene.rng, [each for each in operation.get("parameters", []) if each["in"] == "query"]
    given = {each["name"]: "-5" if each["name"] == "start" else "-1" for each in wanted if each.get("required")}
    if is_off:
        name = rng.choice([*(each["name"] for each in wanted), "unknown"])
        given[name] = rng.choice((any_text(rng), any_json(rng), rng.choice(TEXTS)))
    pairs = [f"{name}={quote(value.encode('utf-8', 'replace'), safe='')}" for name, value in given.items()]
    return "?" + "&".join(pairs) if pairs else ""


def _header(text: str) -> str:
    """Without what would end the header, which is another attack."""
    return "".join(char for char in text if char not in "\r\n\x00").encode("latin-1", "replace").decode("latin-1")[:500]


async def _clean_up(scene: Scene) -> None:
    for watch in await scene.target.get("/v1/watches") or []:
        if watch["name"] != WATCH:
            await scene.case("DELETE", f"/v1/cameras/{watch['camera']}/watches/{quote(watch['name'], safe='')}")
    await scene.target.keep_watch()
