"""Configurations that are no good: each is refused in one line that says where, and nothing ends in a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.serve import strict_yaml
from stream.serve.config import Config, load, parse

SMALLEST = "cameras: {front: {url: 'rtsp://127.0.0.1/x'}}\n"
BASE = {"cameras": {"front": {"url": "rtsp://127.0.0.1/x"}}}


def refusal(path: Path, data: bytes | str, **environ: str) -> str:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(SettingsError) as caught:
        load(path, environ)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 5000
    return said


BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9))
FILES = {
    "a key twice": (
        SMALLEST + "server: {port: 1}\nserver: {port: 2}\n",
        "the key server a second time (first in line 2) at line 3",
    ),
    "a camera twice": ("cameras:\n  a: {url: x}\n  a: {url: y}\n", "the key a a second time (first in line 2) at line 3"),
    "a setting twice in one line": ("cameras: {a: {url: x, url: y}}", "the key url a second time (first in line 1) at line 1"),
    "an alias cycle": (SMALLEST + "server: &x {tokens: [*x]}\n", "an alias inside of what it names at line 2"),
    "an alias bomb": (BOMB, "more than 100000 values, aliases written out, at line"),
    "200,000 brackets": ("cameras: " + "[" * 200_000, "more than 32 levels at line 1"),
    "200,000 dashes": ("- " * 200_000, "more than 32 levels at line 1"),
    "a number of 5,000 digits": (SMALLEST + f"server: {{port: {'9' * 5000}}}", "a value that is none of its kind at line 2"),
    "a number of 4,000 digits": (SMALLEST + f"server: {{port: {'9' * 4000}}}", "a number of more than 64 bits at line 2"),
    "a number of 5,000 hexadecimal digits": (SMALLEST + f"server: {{port: 0x{'f' * 5000}}}", "more than 64 bits at line 2"),
    "a day that is none": (SMALLEST + "data: 2001-02-31\n", "a value that is none of its kind at line 2"),
    "a tag of Python": (SMALLEST + "data: !!python/object:os.system {}\n", "a syntax error at line 2"),
    "NUL": (SMALLEST.encode() + b"data: a\0b\n", "the character U+0000 at line 2"),
    "NUL escaped": (SMALLEST + 'data: "a\\0b"\n', "data: expected text without NUL and lone surrogates, got"),
    "no UTF-8": (SMALLEST.encode() + b"data: \xff\xfe\n", "expected a readable YAML file in UTF-8, got other bytes at line 2"),
    "UTF-16": (SMALLEST.encode("utf-16"), "in UTF-8, got other bytes at line 1"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(200), "the character U+007F at line 1"),
    "more than a megabyte": ("#" * (strict_yaml.MAX_BYTES + 1), "expected at most 1048576 bytes of YAML, got more"),
    "a list": ("- 1\n", "expected a map with `cameras:`, got list"),
    "several documents": ("a: 1\n---\nb: 2\n", "expected YAML, got a syntax error at line 2"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    data, says = FILES[name]
    assert says in refusal(tmp_path / "ov2.yaml", data)


def test_a_byte_order_mark_and_merged_keys_are_as_in_any_yaml(tmp_path: Path) -> None:
    text = "cameras:\n  a: &a {url: x, loop: true}\n  b:\n    <<: *a\n    url: y\n"
    (tmp_path / "ov2.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    cameras = load(tmp_path / "ov2.yaml", {}).cameras
    assert [(each.url, each.loop) for each in cameras.values()] == [("x", True), ("y", True)]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", Path("/dev/zero"), tmp_path / "a\0b"):
        with pytest.raises(SettingsError, match="expected a readable YAML file, got"):
            load(path, {})


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"model": {"threads": 100_000_000}}, "model.threads: expected less than or equal to 1024, got 100000000"),
    ({"model": {"threads": True}}, "model.threads: expected a number, got True"),
    ({"mqtt": {"state_every_s": float("inf")}}, "mqtt.state_every_s: expected a finite number"),
    ({"mqtt": {"state_every_s": float("nan")}}, "mqtt.state_every_s: expected a finite number"),
    ({"mqtt": {"state_every_s": 1e9}}, "mqtt.state_every_s: expected less than or equal to 86400"),
    ({"watches": {"every_s": False}}, "watches.every_s: expected a number, got False"),
    ({"tokenizer": {"t_max_s": float("inf")}}, "tokenizer.t_max_s: expected a finite number"),
    ({"webrtc": {"kept_s": float("inf")}}, "webrtc.kept_s: expected a finite number"),
    ({"webrtc": {"ports": [0, 70000]}}, "webrtc.ports.1: expected less than or equal to 65535"),
    ({"server": {"tokens": ["        "]}}, "server.tokens.0: expected 1 to 1024 printable ASCII characters without spaces"),
    ({"server": {"tokens": ["with space"]}}, "server.tokens.0: expected 1 to 1024 printable ASCII"),
    ({"server": {"tokens": ["tökentökentöken"]}}, "server.tokens.0: expected 1 to 1024 printable ASCII"),
    ({"server": {"tokens": ["x" * 2000]}}, "server.tokens.0: expected 1 to 1024 printable ASCII"),
    ({"server": {"host": ""}}, "server.host: "),
    ({"data": "/"}, "data: expected a folder of the service's own, got one of the system's"),
    ({"data": "/etc/ov2"}, "data: expected a folder of the service's own"),
    ({"journal": {"url": "../../journal.sqlite"}}, "journal.url: expected a folder in the data folder"),
    ({"memory": {"folder": "../memory"}}, "memory.folder: expected a folder in the data folder"),
]
FOLDERS = [
    "../../..",
    "a/../../b",
    ".",
    "a/..",
    "/",
    "/usr",
    "/usr/share/x",
    "/etc/../proc/1",
    "/home",
    "/var/lib",
    "memory/front",
    "clips",
]


@pytest.mark.parametrize(("more", "says"), SETTINGS)
def test_a_setting_out_of_range_is_refused_with_its_line(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    said = refusal(tmp_path / "ov2.yaml", SMALLEST + yaml.safe_dump(more, allow_unicode=True))
    assert says in said
    assert "(line " in said
    assert "with space" not in said


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_recording_never_leaves_its_place(tmp_path: Path, folder: str) -> None:
    text = f"cameras:\n  front:\n    url: x\n    record:\n      folder: {json.dumps(folder)}\n"
    said = refusal(tmp_path / "ov2.yaml", text)
    assert "cameras.front.record.folder: expected a folder" in said
    assert "(line 5)" in said


@pytest.mark.parametrize(("first", "second"), [("log", "log"), ("log", "x/../log/"), ("/srv/ov2/log", "/srv/ov2/./log")])
def test_two_cameras_never_record_into_one_folder(first: str, second: str) -> None:
    cameras = {name: {"url": "x", "record": {"folder": folder}} for name, folder in (("a", first), ("b", second))}
    with pytest.raises(
        SettingsError, match=r"cameras\.b\.record\.folder: expected a folder of its own, got that of cameras\.a\."
    ):
        parse({"cameras": cameras}, {})


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OV2_CAMERAS", "{front: [", "OV2_CAMERAS: expected YAML, got a syntax error at line 1"),
        ("OV2_CAMERAS", '{"front": {"url": "x", "url": "y"}}', "OV2_CAMERAS: expected YAML, got the key url a second time"),
        ("OV2_CAMERAS", "{front: {urll: x}}", "cameras.front.urll: unknown setting; nearest known setting: url (OV2_CAMERAS)"),
        ("OV2_CAMERAS", "[1, 2]", "cameras: expected a valid dictionary, got list (OV2_CAMERAS)"),
        ("OV2_SERVER_PORT", "abc", "server.port: expected a valid integer"),
        ("OV2_SERVER_PORT", "9" * 5000, "server.port: "),
        ("OV2_SERVER_TOKENS", "[hush hush]", "server.tokens.0: expected 1 to 1024 printable ASCII"),
        ("OV2_SERVER_TOKENS", "hush", "server.tokens: "),
        ("OV2_WEBRTC_PORTS", "[1, 2, 3]", "webrtc.ports: "),
        ("OV2_CAMERAS__URL", "x", "cameras.: expected text that should match"),
        ("OV2_DATA", "\udcff", "data: "),
        ("OV2_INGEST_HOSTS", "[&x [*x]]", "OV2_INGEST_HOSTS: expected YAML, got an alias inside of what it names"),
    ],
)
def test_a_malformed_variable_is_named(variable: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(BASE, {variable: value})
    said = str(caught.value)
    assert says in said
    assert variable in said
    assert "hush" not in said
    assert said.isprintable()
    assert len(said) < 5000


def test_a_variable_over_a_broken_file_is_read_first(tmp_path: Path) -> None:
    """`cameras: 5` has no camera that could be named; the variable makes one."""
    assert list(parse({"cameras": 5}, {"OV2_CAMERAS_BACK_URL": "x"}).cameras) == ["back"]
    said = refusal(tmp_path / "ov2.yaml", "server:\n  port: abc\n" + SMALLEST, OV2_SERVER_PORT="xyz")
    assert "(OV2_SERVER_PORT)" in said
    assert "line 2" not in said


@pytest.mark.parametrize("secret", [b"\xff\xfe", bytes(100_000)])
def test_a_secret_that_is_no_text_is_refused_with_the_setting(tmp_path: Path, secret: bytes) -> None:
    (tmp_path / "PASSWORD").write_bytes(secret)
    with pytest.raises(SettingsError, match=r"cameras\.front\.url: expected .* in .*PASSWORD, got"):
        parse({"cameras": {"front": {"url": "rtsp://a:{PASSWORD}@h/x"}}}, {}, tmp_path)


def test_a_refusal_is_one_line_whatever_names_hold(tmp_path: Path) -> None:
    assert refusal(tmp_path / "ov2.yaml", 'cameras: {"a\\nb\\x81": {}}').isprintable()


def test_an_address_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"cameras": {"front": "rtsp://user:secret@host/x"}}, {})
    assert "secret" not in str(caught.value)


def test_a_short_token_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ov2.yaml").write_text(SMALLEST + "server: {tokens: [hush, 0123456789abcdef]}\n")
    load(tmp_path / "ov2.yaml", {})
    assert "server.tokens: 1 shorter than 16 characters" in caplog.text
    assert "hush" not in caplog.text


# Anything at all


SECTIONS = sorted(Config.model_fields)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.binary(max_size=4), st.dates()
)
KEYS = st.one_of(st.sampled_from([*SECTIONS, "front", "url", "port", "folder", "record", "tokens", "<<"]), st.text(max_size=3))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
PIECES = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "\n",
    "  ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!!int ",
    "!!float ",
    "!!set ",
    "!!omap ",
    "!!pairs ",
]
PIECES += [
    "!!binary ",
    "!!timestamp ",
    "!!bool ",
    "!!null ",
    "<<",
    "|",
    ">",
    "'",
    '"',
    "\\ud800",
    "\\0",
    "~",
    "=",
    "0x",
    "0b",
    "1e9",
    "9" * 30,
]
PIECES += [
    "1:60:60",
    "2001-99-99",
    ".inf",
    ".nan",
    "%YAML 9.9",
    "---",
    "...",
    "#",
    "\ufeff",
    "\x85",
    "\t",
    "{X}",
    "\u2028",
    "cameras",
    "url",
]


def dumped(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


TEXTS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES) | st.sampled_from(SECTIONS), max_size=25).map(lambda parts: "".join(parts).encode()),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: (SMALLEST + "server: " + "".join(parts)).encode()),
    st.dictionaries(KEYS, VALUES, max_size=4).map(dumped),
    st.dictionaries(KEYS, VALUES, max_size=2).map(lambda more: dumped({**BASE, **more})),
)
VARIABLES = st.dictionaries(
    st.one_of(
        st.sampled_from(
            ["OV2_CAMERAS", "OV2_CAMERAS_A_URL", "OV2_SERVER_PORT", "OV2_SERVER_TOKENS", "OV2_DATA", "OV2_NOTIFY", "X"]
        ),
        st.sampled_from(SECTIONS).map(lambda name: f"OV2_{name.upper()}"),
        st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", max_size=12).map(lambda text: "OV2_" + text),
    ),
    st.one_of(
        st.text(st.characters(min_codepoint=1), max_size=30),
        TEXTS.map(lambda data: data.decode("utf-8", "surrogateescape").replace("\0", "")),
        VALUES.map(lambda value: "[" + dumped(value).decode("utf-8", "surrogatepass")),
    ),
    max_size=3,
)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=TEXTS, environ=VARIABLES)
def test_any_bytes_and_any_environment_are_a_configuration_or_a_refusal(
    tmp_path: Path, data: bytes, environ: dict[str, str]
) -> None:
    path = tmp_path / "ov2.yaml"
    path.write_bytes(data)
    try:
        said = repr(load(path, environ, tmp_path))
    except SettingsError as error:
        said = str(error)
    assert said.isprintable()
