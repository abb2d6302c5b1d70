"""Values that nobody sends in good faith: bytes, texts, JSON of any type, numbers at the edges.

In: a `random.Random`, Hypothesis' own in tests. Out: values; the same draws give the same values.
"""

from __future__ import annotations

import json
import random

DEEPEST = 3
NUMBERS = (
    "0", "-0", "-1", "1", "0.5", "1e-39", "1e-46", "5e-324", "1e308", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809", "1" + 400 * "0", "1e1000000",
)  # fmt: skip
"""As JSON text: Python's own parser takes all of them."""
TEXTS = (
    "", " ", "\x00", "\ud800", "\U0010ffff", "\u202e", "a" * 3000, "%00", "../../../../etc/passwd", "' or 1=1 --", "{{7*7}}", "<|im_start|>",
    "<|vision_start|>", "<|endoftext|>", "\r\nX-Injected: 1", "${jndi:ldap://127.0.0.1/a}", "0", "-30", "1e309", "nan", "2026-02-30",
)  # fmt: skip
PIECES = ("front", "yard", "always", "..", ".", "%2e%2e", "\x00", "\u00e9", "a" * 300, "-", "_", "+", "#", "$SYS", "")
TOPIC_TAILS = ("ask", "front/always/set", "front/always/config", "front/watching/set", "front/session/set", "front/x/config", "answer/x",
               "available", "events", "front/snapshot", "front/state", "front/always/state", "x/y/set", "x/y/config")  # fmt: skip


def any_bytes(rng: random.Random, longest: int = 200) -> bytes:
    return rng.randbytes(rng.randint(0, longest))


def any_text(rng: random.Random) -> str:
    """One of those that hurt, or random characters, lone surrogates among them."""
    if rng.random() < 0.5:
        return rng.choice(TEXTS)
    return "".join(
        chr(rng.choice((rng.randint(0, 127), rng.randint(0, 0x2FFF), rng.randint(0, 0x10FFFF))))
        for _ in range(rng.randint(0, 24))
    )


def any_json(rng: random.Random, depth: int = 0) -> str:
    """JSON text of any type; numbers that no float holds, NaN, and lone surrogates included."""
    kind = rng.randrange(7 if depth < DEEPEST else 5)
    if kind == 0:
        return rng.choice(("null", "true", "false"))
    if kind in (1, 2):
        return rng.choice(NUMBERS) if rng.random() < 0.7 else repr(rng.uniform(-1e9, 1e9))
    if kind in (3, 4):
        return json.dumps(any_text(rng))
    inner = [any_json(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if kind == 5:
        return f"[{', '.join(inner)}]"
    return "{" + ", ".join(f"{json.dumps(any_text(rng))}: {each}" for each in inner) + "}"


def json_object(fields: dict[str, str]) -> bytes:
    """An object of fields whose values are JSON texts already."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}").encode()


def any_topic(rng: random.Random, prefix: str) -> str:
    """A topic that may be published to: often one that the service hears."""
    if rng.random() < 0.7:
        return f"{prefix}/{rng.choice(TOPIC_TAILS)}"
    pieces = [rng.choice(PIECES) for _ in range(rng.randint(1, 5))]
    topic = "/".join(rng.choice((prefix, "homeassistant", *pieces)) if rng.random() < 0.3 else each for each in pieces)
    return topic.replace("+", "").replace("#", "").replace("\x00", "")[:400] or f"{prefix}/ask"


def any_payload(rng: random.Random) -> bytes:
    """Of a message: bytes, JSON, ON and OFF, or a question with one field that is off."""
    kind = rng.randrange(6)
    if kind == 0:
        return any_bytes(rng)
    if kind == 1:
        return any_json(rng).encode("utf-8", "surrogatepass")
    if kind == 2:
        return rng.choice((b"ON", b"OFF", b"on", b"", b"online", b"null", b"{", b"[" * 5000, b"\xff" * 64))
    if kind == 3:
        return json_object({"sentence": json.dumps("something is there"), any_field(rng, WATCH_FIELDS): any_json(rng)})
    question = {
        "id": json.dumps(f"q{rng.getrandbits(32)}"),
        "camera": '"front"',
        "question": '"Is there a car?"',
        "max_tokens": "1",
    }
    return json_object({**question, any_field(rng, ASK_FIELDS): any_json(rng)})


ASK_FIELDS = (
    "id",
    "camera",
    "question",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "since",
    "until",
    "recall",
    "stream",
    "x",
)
WATCH_FIELDS = (
    "sentence", "threshold", "release", "confirm", "cool_down_s", "min_duration_s", "schedule", "severity", "zone", "enabled", "label", "x",
)  # fmt: skip


def any_field(rng: random.Random, names: tuple[str, ...]) -> str:
    return rng.choice(names) if rng.random() < 0.95 else any_text(rng)


def flipped(data: bytes, rng: random.Random, num_bits: int = 1) -> bytes:
    changed = bytearray(data)
    for _ in range(num_bits if changed else 0):
        at = rng.randrange(8 * len(changed))
        changed[at >> 3] ^= 1 << (at & 7)
    return bytes(changed)
