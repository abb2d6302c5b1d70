"""Who may read and change: nobody without a token where tokens are set, nobody under a foreign name (DNS rebinding).

In: a scene, a number of cases. Out: cases in its ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import quote

from ov2_bench.attack.cases import any_text
from ov2_bench.attack.judgement import Judge, fair, refused
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import CAMERA
from ov2_bench.attack.wire import Reply

Case = Callable[[], Awaitable[object]]
GUARDED = (
    ("GET", "/v1/cameras"), ("GET", f"/v1/cameras/{CAMERA}"), ("GET", f"/v1/cameras/{CAMERA}/timeline"),
    ("GET", f"/v1/cameras/{CAMERA}/canvases.png"), ("GET", f"/v1/cameras/{CAMERA}/snapshot.jpg"), ("HEAD",
    f"/v1/cameras/{CAMERA}/snapshot.jpg"),
    ("GET", f"/v1/cameras/{CAMERA}/clip.mp4?start=-5&end=-1"), ("GET", f"/v1/cameras/{CAMERA}/watches"), ("GET", "/v1/watches"),
    ("GET", "/v1/events"), ("GET", "/v1/events/stream"), ("GET", "/v1/events/1/snapshot.jpg"), ("GET", "/v1/events/1/clip.mp4"),
    ("GET", "/v1/status"), ("POST", f"/v1/cameras/{CAMERA}/ask"), ("PUT", f"/v1/cameras/{CAMERA}/watches/mine"),
    ("DELETE", f"/v1/cameras/{CAMERA}/watches/always"), ("POST", "/whip/phone"), ("POST", f"/whep/{CAMERA}"),
    ("DELETE", "/whep/front/secret"), ("PATCH", "/whip/phone/secret"),
)  # fmt: skip
OPEN = ("/healthz", "/readyz", "/publish/phone", f"/live/{CAMERA}")
DETOURS = (
    "//v1/status", "/./v1/status", "/v1/../v1/status", "/V1/status", "/v1/status/", "/%76%31/status", "/v1//status",
    "/v1;x/status", "/v1/status%00",
    "/healthz/../v1/status", "/live/../v1/status", "/publish/%2e%2e/v1/status", "http://127.0.0.1/v1/status",
    "/v1/status?token=", "/v1%2fstatus",
    "/\\v1/status", "/v1/status#/healthz",
)  # fmt: skip
FOREIGN = (
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}", "evil.example@127.0.0.1",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1", "[::ffff:evil]", "xn--lcalhost-dya", "127.0.0.1:{port}, evil.example", "evil.example:localhost",
    "localhost\tevil.example",
)  # fmt: skip


async def strike(scene: Scene, count: int) -> None:
    cases = list(_cases(scene))
    scene.rng.shuffle(cases)
    await scene.fan(cases[:count])
    await scene.honest("requests without a token, or under a foreign name")


def _cases(scene: Scene) -> Iterator[Case]:
    if scene.target.token:
        yield from _without_token(scene)
    yield from _foreign(scene)


def _without_token(scene: Scene) -> Iterator[Case]:
    for method, path in GUARDED:
        for what, headers in _wrong_tokens(scene):
            yield _case(scene, method, path, f"{method} {path} {what}", headers, refused(401))
    for path in DETOURS:
        yield _case(scene, "GET", path, f"GET {path} without a token", {}, _not_told)
    for path in OPEN:
        yield _case(scene, "GET", path, f"GET {path} without a token", {}, _open)


def _wrong_tokens(scene: Scene) -> Iterator[tuple[str, dict[str, str]]]:
    token = scene.target.token
    yield "without a token", {}
    for value in (
        "Bearer wrong",
        "Bearer",
        f"Basic {token}",
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
        "Bearer " + 20_000 * "a",
    ):
        yield f"with Authorization {value[:16]}", {"Authorization": value}
    odd = quote(any_text(scene.rng).encode("utf-8", "replace"), safe=" ")[:200]
    yield "with nonsense for a token", {"Authorization": f"Bearer {odd}", "Cookie": f"token={token}", "X-Token": token}


def _foreign(scene: Scene) -> Iterator[Case]:
    port = scene.target.port
    hosts = [host.replace("{port}", str(port)) for host in FOREIGN]
    for path in ("/v1/cameras", "/v1/status", f"/live/{CAMERA}", f"/v1/cameras/{CAMERA}/snapshot.jpg", "/docs"):
        for host in hosts:
            yield _case(scene, "GET", path, f"GET {path} for Host {host!r}", {"Host": host}, refused(400, 421), with_token=True)
    body = b'{"question": "q", "max_tokens": 1}'
    for host in hosts[:3]:
        path = f"/v1/cameras/{CAMERA}/ask"
        yield _case(
            scene, "POST", path, f"POST {path} for Host {host!r}", {"Host": host}, refused(400, 421), body=body, with_token=True
        )
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", "[::1]", f"127.0.0.1:{port}"):
        yield _case(scene, "GET", "/v1/cameras", f"GET /v1/cameras for Host {host}", {"Host": host}, _open, with_token=True)


def _case(
    scene: Scene,
    method: str,
    path: str,
    what: str,
    headers: dict[str, str],
    judge: Judge,
    *,
    body: bytes = b"",
    with_token: bool = False,
) -> Case:
    if method in ("POST", "PUT", "PATCH") and not body:
        body = b"{}"
    return lambda: scene.case(
        method,
        path,
        what=what,
        judge=judge,
        headers=headers,
        body=body,
        with_token=with_token,
        head_only=path.endswith("/stream"),
    )


def _open(reply: Reply) -> str:
    """A page, or a word about health."""
    return "" if reply.status in (200, 503) else f"expected it to be open, got {reply.problem or reply.status}"


def _not_told(reply: Reply) -> str:
    """Whatever the way there is called, what is behind it is not told."""
    return "told without a token" if 200 <= reply.status < 300 and b"uptime_s" in reply.body else fair(reply)
