"""The one configuration file of the service: what may be set, and its defaults.

In: a YAML file, `OV2_...` environment overrides, `{NAME}` placeholders. Out: a validated `Config`, or `SettingsError` that
names the setting, what was expected, what came, and the nearest known key. Values that may hold a credential are never quoted.
"""

from __future__ import annotations

import difflib
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError

from stream.errors import SettingsError
from stream.section import Section
from stream.serve import strict_yaml
from stream.serve.environment import child_model, fill_placeholders, is_model_map, override
from stream.serve.folders import check_apart, data_folder
from stream.serve.overrides import SessionOverrides, TokenizerOverrides
from stream.serve.sections import (
    BoundaryAlert,
    CameraSettings,
    ClipOptions,
    EngineOptions,
    HomeAssistantSettings,
    IngestSettings,
    JournalSettings,
    MemoryOptions,
    ModelSettings,
    MqttSettings,
    NotifySettings,
    Reconnect,
    ServerSettings,
    WatchOptions,
)
from stream.serve.strict_yaml import shown
from stream.watch.settings import WatchName
from stream.webrtc.settings import WebRtcSettings

__all__ = [
    "BoundaryAlert",
    "CameraName",
    "CameraSettings",
    "ClipOptions",
    "Config",
    "EngineOptions",
    "HomeAssistantSettings",
    "IngestSettings",
    "JournalSettings",
    "MemoryOptions",
    "ModelSettings",
    "MqttSettings",
    "NotifySettings",
    "Reconnect",
    "ServerSettings",
    "WatchOptions",
    "load",
    "parse",
    "schema",
]

SECRETS_FOLDER = Path("/run/secrets")
CREDENTIAL_KEYS = frozenset({"url", "username", "password", "headers", "tokens"})
"""Settings whose value is never repeated in a message."""
SHORT_TOKEN = 16
"""Characters; shorter ones can be guessed."""
LONGEST_PROBLEM = 1000
"""Characters."""
MOST_PROBLEMS = 20
"""Told at once."""
Origins = dict[tuple[str, ...], str]
"""Where settings are from, by their path: `line 3`, or a variable."""

log = logging.getLogger(__name__)

CameraName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A camera's name is a part of URLs and of MQTT topics, so it holds no `/`, `+` or `#`."""


class Config(Section):
    """Everything `ov2 serve` reads."""

    cameras: dict[CameraName, CameraSettings] = Field(min_length=1)
    model: ModelSettings = Field(default_factory=ModelSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    homeassistant: HomeAssistantSettings = Field(default_factory=HomeAssistantSettings)
    data: Annotated[Path, AfterValidator(data_folder)] = Field(
        default=Path("ov2-data"), description="folder of what is kept; relative to the file, or to where it was started"
    )
    journal: JournalSettings = Field(default_factory=JournalSettings)
    notify: dict[WatchName, NotifySettings] = Field(default_factory=dict, description="webhooks and phones, by name")
    clips: ClipOptions = Field(default_factory=ClipOptions)
    memory: MemoryOptions = Field(default_factory=MemoryOptions)
    engine: EngineOptions = Field(default_factory=EngineOptions)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    watches: WatchOptions = Field(default_factory=WatchOptions)
    webrtc: WebRtcSettings = Field(default_factory=WebRtcSettings)
    tokenizer: TokenizerOverrides = Field(default_factory=TokenizerOverrides)
    session: SessionOverrides = Field(default_factory=SessionOverrides)

    def listening_on(self, host: str | None, port: int | None) -> Config:
        """The same with another address for HTTP, where one is given (the command line's flags). Raises `SettingsError`."""
        given = {"host": host, "port": port}
        if port is not None and not 0 <= port <= 65535:
            raise SettingsError(f"--port: expected 0 to 65535, got {port}")
        changed = {key: value for key, value in given.items() if value is not None}
        return self.model_copy(update={"server": self.server.model_copy(update=changed)})

    def beside(self, folder: Path) -> Config:
        """The same with the data folder's path taken from this folder, if it is relative."""
        return self.model_copy(update={"data": folder / self.data})

    @property
    def journal_url(self) -> str:
        """Where the journal is. A relative path is in the data folder."""
        url = self.journal.url or "journal.sqlite"
        return url if "://" in url else str(self.data / url)

    @property
    def recording_folders(self) -> dict[str, Path]:
        """By setting. A relative path is in the data folder."""
        return {
            f"cameras.{name}.record.folder": each.record.within(self.data).folder
            for name, each in self.cameras.items()
            if each.record is not None and each.enabled
        }

    @property
    def clips_folder(self) -> Path:
        """Where clips are cut and kept; nothing in it outlives the service."""
        return self.data / "clips"

    @property
    def memory_folder(self) -> Path:
        """Where the cameras' memories are, a folder each. A relative path is in the data folder."""
        return self.data / (self.memory.folder or "memory")


def load(path: Path, environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FOLDER) -> Config:
    """Read `path`. Raises `SettingsError` when it is missing, is no YAML, or holds a setting unknown or out of range."""
    document = strict_yaml.read(_bytes_of(path), f"configuration {path}")
    origins = {keys: f"line {line}" for keys, line in document.lines.items()}
    config = parse(document.value, environ, secrets, name=str(path), origins=origins).beside(path.parent)
    num_short = sum(len(token.get_secret_value()) < SHORT_TOKEN for token in config.server.tokens)
    if num_short:
        log.warning("server.tokens: %d shorter than %d characters can be guessed; make longer ones", num_short, SHORT_TOKEN)
    return config


def _bytes_of(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SettingsError(f"configuration {path}: expected a readable YAML file, got something else")
        with path.open("rb") as file:
            return file.read(strict_yaml.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        named = shown(str(path), 500)
        raise SettingsError(f"configuration {named}: expected a readable YAML file, got {type(error).__name__}") from None


def parse(
    document: Any,
    environ: Mapping[str, str] | None = None,
    secrets: Path = SECRETS_FOLDER,
    name: str = "configuration",
    origins: Origins | None = None,
) -> Config:
    """Validate a parsed document; `origins`: the lines of its settings. Raises `SettingsError`."""
    environ = os.environ if environ is None else environ
    origins = {} if origins is None else origins
    if not isinstance(document, dict | None):
        raise SettingsError(f"{name}: expected a map with `cameras:`, got {type(document).__name__}")
    filled = fill_placeholders(override(document or {}, environ, Config, origins), environ, secrets)
    try:
        config = Config.model_validate(filled)
    except ValidationError as error:
        problems = list(_problems(error, filled, origins))
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise SettingsError(f"{name}: {'; '.join(problems[:MOST_PROBLEMS] + more)}") from None
    try:
        check_apart({"data": config.data, **config.recording_folders})
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    return config


def schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    return Config.model_json_schema()


def _problems(error: ValidationError, document: Mapping[str, Any], origins: Origins) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        loc = [str(part) for part in item["loc"] if part != "[key]"]
        where = shown(".".join(loc), 200) or "the file"
        if item["type"] == "extra_forbidden":
            told = f"unknown setting; {_nearest(loc)}"
        elif item["type"] == "missing":
            told = f"expected a value, got nothing; add it to the file or set OV2_{'_'.join(loc).upper()}"
        else:
            expected = item["msg"].removeprefix("Value error, ")
            expected = expected.replace("Input should be", "expected").replace("String should", "expected text that should")
            told = f"{expected}{_got(loc, document)}"
        yield f"{where}: {shown(told, LONGEST_PROBLEM)}{_origin(loc, origins)}"


def _origin(loc: list[str], origins: Origins) -> str:
    """Where the setting is from, or what it should have been in."""
    above = (tuple(loc[:length]) for length in range(len(loc), 0, -1))
    below = (key for key in origins if key[: len(loc)] == tuple(loc))
    return next((f" ({origins[key]})" for key in (*above, *below) if key in origins), "")


def _got(loc: list[str], document: Any) -> str:
    if any(part in CREDENTIAL_KEYS for part in loc):
        return ""
    for part in loc:
        if not isinstance(document, Mapping) or part not in document:
            return ""
        document = document[part]
    if not isinstance(document, str | int | float | bool | None) or (isinstance(document, str) and "@" in document):
        return f", got {type(document).__name__}"  # an address with a password, in the wrong place
    return f", got {shown(repr(document))}"


def _nearest(loc: list[str]) -> str:
    model: type[BaseModel] | None = Config
    steps = iter(loc[:-1])
    for part in steps:
        field = model.model_fields.get(part) if model else None
        if field is None:
            break
        if is_model_map(field.annotation):
            next(steps, None)
        model = child_model(field.annotation)
    known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(loc[-1][:100], known, n=1, cutoff=0.4)
    return f"nearest known setting: {close[0]}" if close else f"known settings: {', '.join(known)}"
