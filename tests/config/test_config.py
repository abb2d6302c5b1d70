"""The service's configuration: what is refused and how, environment overrides, placeholders, the published schema."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stream.config.configuration import Config, load, parse, schema
from stream.errors import SettingsError
from stream.sources.policy import SourcePolicy

SMALLEST = {"cameras": {"front": {"url": "rtsp://127.0.0.1:8554/front"}}}


def problem(document: object, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(document, environ)
    return str(caught.value)


def test_the_smallest_file_is_one_camera_with_a_url(tmp_path: Path) -> None:
    file = tmp_path / "ov2.yaml"
    file.write_text('cameras: {front: {url: "rtsp://127.0.0.1:8554/front"}}\n')
    config = load(file, {})
    assert config.cameras["front"].url == "rtsp://127.0.0.1:8554/front"
    assert config.model.path == "ov2-nano"
    assert config.mqtt.host is None
    assert config.journal_url == str(tmp_path / "ov2-data" / "journal.sqlite"), "beside the file"


def test_every_setting_and_its_default_is_a_decision() -> None:
    """Adding, renaming or removing a setting must change this list."""
    from stream.config.configuration import (
        BoundaryAlert,
        ClipOptions,
        HomeAssistantSettings,
        JournalSettings,
        MemoryOptions,
        ModelSettings,
        MqttSettings,
        ServerSettings,
    )

    assert list(Config.model_fields) == [
        "cameras",
        "model",
        "mqtt",
        "homeassistant",
        "data",
        "journal",
        "notify",
        "clips",
        "memory",
        "engine",
        "ingest",
        "server",
        "watches",
        "webrtc",
        "tokenizer",
        "session",
    ]
    assert ClipOptions().model_dump() == {
        "max_mb": 1024,
        "max_files": 64,
        "max_waiting": 16,
        "max_open": 64,
        "write_timeout_s": 20.0,
    }
    assert MemoryOptions().model_dump() == {"enabled": True, "folder": None, "max_mb": 2000.0, "max_age_days": 7.0}
    assert ModelSettings().model_dump() == {
        "path": "ov2-nano",
        "dtype": "float32",
        "device": "cpu",
        "weights": "model",
        "threads": 1,
    }
    assert ServerSettings().model_dump() == {
        "host": "127.0.0.1",
        "port": 8710,
        "tokens": (),
        "open_reads": False,
        "hosts": (),
        "max_questions": 16,
        "max_connections": 512,
        "max_followers": 128,
        "max_share_per_address": 0.5,
        "header_timeout_s": 10.0,
        "body_timeout_s": 10.0,
        "write_timeout_s": 20.0,
        "max_body_kb": 64,
        "max_branches": 4,
        "max_tokens": 256,
    }
    assert MqttSettings().model_dump() == {
        "host": None,
        "port": None,
        "username": None,
        "password": None,
        "prefix": "ov2",
        "client_id": None,
        "tls": False,
        "ca_file": None,
        "cert_file": None,
        "key_file": None,
        "insecure": False,
        "keepalive_s": 30,
        "max_asks": 4,
        "state_every_s": 5.0,
    }
    assert HomeAssistantSettings().model_dump() == {
        "enabled": True,
        "discovery_prefix": "homeassistant",
        "max_delay_s": 5.0,
    }
    assert JournalSettings().model_dump() == {
        "url": None,
        "name": "ov2",
        "retention_days": 30.0,
        "max_mb": 512.0,
        "held_entries": 10_000,
        "outbox_entries": 100_000,
        "outbox_hours": 72.0,
    }
    assert BoundaryAlert().model_dump() == {"enabled": True, "onset": 4.5, "calm_s": 1.0, "refractory_s": 0.75}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({**SMALLEST, "ingest": {"schemes": ["gopher"]}}, "ingest: ingest.schemes: expected some of file, rtsp"),
        ({**SMALLEST, "ingest": {"hosts": ["192.0.2.0/99"]}}, "ingest: ingest.hosts: expected a network as 192.0.2.0/24"),
        ({**SMALLEST, "ingest": {"host": ["cam"]}}, "ingest.host: unknown setting; nearest known setting: hosts"),
        ({"camera": {}}, "camera: unknown setting; nearest known setting: cameras"),
        ({"cameras": {"front": {"urll": "x"}}}, "cameras.front.urll: unknown setting; nearest known setting: url"),
        (SMALLEST | {"mqtt": {"hots": "x"}}, "mqtt.hots: unknown setting; nearest known setting: host"),
        (
            {"cameras": {"front": {"url": "x", "tokenizer": {"token_rte": 3}}}},
            "cameras.front.tokenizer.token_rte: unknown setting; nearest known setting: token_rate",
        ),
        (SMALLEST | {"session": {"window": 3}}, "session.window: unknown setting; nearest known setting: window_s"),
        (SMALLEST | {"server": {"zzzz": 3}}, "server.zzzz: unknown setting; known settings: host, port"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(document: object, expected: str) -> None:
    assert expected in problem(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, "cameras: expected a value, got nothing"),
        ({"cameras": {}}, "cameras: "),
        ([], "expected a map"),
        ({"cameras": {"front": {}}}, "cameras.front.url: expected a value, got nothing"),
        (
            SMALLEST | {"server": {"port": "abc"}},
            "server.port: expected a valid integer, unable to parse string as an integer, got 'abc'",
        ),
        (SMALLEST | {"server": {"port": 70000}}, "server.port: expected less than or equal to 65535"),
        ({"cameras": {"a/b": {"url": "x"}}}, "cameras.a/b: "),
        (SMALLEST | {"model": {"dtype": "int3"}}, "model.dtype: expected 'float32', 'bfloat16' or 'float16', got 'int3'"),
    ],
)
def test_a_bad_value_says_where_what_was_expected_and_what_came(document: object, expected: str) -> None:
    assert expected in problem(document)


def test_a_credential_is_never_repeated() -> None:
    bad = {
        "cameras": {"front": {"url": ["rtsp://user:secret@host"]}},
        "mqtt": {"password": {"a": "secret"}, "username": ["secret"]},
    }
    assert "secret" not in problem(bad)
    good = parse({"cameras": {"front": {"url": "rtsp://user:secret@host/x"}}, "mqtt": {"host": "h", "password": "secret"}}, {})
    assert "secret" not in repr(good)
    assert "secret" not in str(good)


def test_tokens_are_read_and_never_shown() -> None:
    config = parse({**SMALLEST, "server": {"tokens": ["{PUBLISH_TOKEN}"]}}, {"PUBLISH_TOKEN": "hush"})
    assert [token.get_secret_value() for token in config.server.tokens] == ["hush"]
    assert "hush" not in repr(config)
    assert "hush" not in problem({**SMALLEST, "server": {"tokens": {"one": "hush"}}})
    assert "server.tokens" in problem({**SMALLEST, "server": {"tokens": [""]}})


def test_a_missing_file_and_broken_yaml_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a readable YAML file, got FileNotFoundError"):
        load(tmp_path / "none.yaml", {})
    broken = tmp_path / "broken.yaml"
    broken.write_text("cameras: {front: [\n")
    with pytest.raises(SettingsError, match="syntax error at line"):
        load(broken, {})
    broken.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingsError, match="readable YAML"):
        load(broken, {})


def test_the_environment_overrides_every_kind_of_key() -> None:
    document = {"cameras": {"front-door": {"url": "old"}}}
    config = parse(
        document,
        {
            "OV2_CAMERAS_FRONT_DOOR_URL": "rtsp://new",
            "OV2_CAMERAS_FRONT_DOOR_TOKENIZER_TOKEN_RATE": "50",
            "OV2_CAMERAS_BACK_YARD_URL": "yard.mp4",
            "OV2_CAMERAS_BACK_YARD_PACED": "false",
            "OV2_SERVER_PORT": "0",
            "OV2_MQTT_PASSWORD": "12345",
            "OV2_MODEL_PATH": "/models/x",
            "HOME": "/root",
        },
    )
    assert config.cameras["front-door"].url == "rtsp://new"
    assert config.cameras["front-door"].tokenizer.given == {"token_rate": 50.0}
    by_clock = parse({**document, "tokenizer": {"t_still_s": None, "token_rate": None}}, {}).tokenizer.given
    assert by_clock == {"t_still_s": None}, "null says something where the tokenizer knows it"
    assert config.cameras["back_yard"].url == "yard.mp4"
    assert config.cameras["back_yard"].paced is False
    assert config.server.port == 0
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "12345"
    assert config.model.path == "/models/x"
    assert document == {"cameras": {"front-door": {"url": "old"}}}, "the caller's document is left alone"


def test_cameras_can_come_from_the_environment_alone() -> None:
    config = parse(None, {"OV2_CAMERAS": "{front: {url: 'rtsp://h/x'}}"})
    assert list(config.cameras) == ["front"]


def test_a_variable_that_names_no_setting_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        parse(SMALLEST, {"OV2_SERVER_PROT": "1"})
    assert "OV2_SERVER_PROT: names no setting, nearest: OV2_SERVER_PORT; ignored" in caplog.text


def test_placeholders_read_the_environment_then_mounted_secrets(tmp_path: Path) -> None:
    (tmp_path / "camera_password").write_text("from-a-file\n")
    document = {"cameras": {"front": {"url": "rtsp://{CAMERA_USER}:{CAMERA_PASSWORD}@h/x"}}}
    config = parse(document, {"CAMERA_USER": "from-env"}, tmp_path)
    assert config.cameras["front"].url == "rtsp://from-env:from-a-file@h/x"
    with pytest.raises(SettingsError, match=r"placeholder \{CAMERA_USER\}: expected CAMERA_USER in the environment"):
        parse(document, {}, tmp_path)


def test_the_schema_describes_every_section() -> None:
    from stream.config.configuration import Config

    published = schema()
    assert set(published["properties"]) == set(Config.model_fields)
    assert published["additionalProperties"] is False
    assert "token_rate" in published["$defs"]["TokenizerOverrides"]["properties"]


def test_a_journal_is_a_file_in_the_data_folder_unless_a_server_is_named() -> None:
    urls = {None: "kept/journal.sqlite", "mine.sqlite": "kept/mine.sqlite", "/srv/j.sqlite": "/srv/j.sqlite"}
    for url, expected in {**urls, "redis://:secret@h/0": "redis://:secret@h/0"}.items():
        config = parse({**SMALLEST, "data": "kept", "journal": {"url": url}}, {})
        assert config.journal_url == expected
        assert "secret" not in repr(config)


def test_limits_on_sources_become_a_policy_and_none_is_no_limit() -> None:
    assert parse(SMALLEST, {}).ingest.policy() == SourcePolicy()
    limits = {"schemes": ["rtsp", "file"], "folders": ["/var/films"]}
    policy = parse({**SMALLEST, "ingest": limits}, {"OV2_INGEST_HOSTS": "[192.0.2.0/24, '*.cams.example']"}).ingest.policy()
    assert policy == SourcePolicy(
        schemes=("rtsp", "file"), hosts=("192.0.2.0/24", "*.cams.example"), folders=(Path("/var/films"),)
    )
