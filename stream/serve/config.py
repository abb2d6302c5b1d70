"""The one configuration file of the service: what may be set, and its defaults.

In: a YAML file, `OV2_...` environment overrides, `{NAME}` placeholders. Out: a validated `Config`, or `SettingsError` that
names the setting, what was expected, what came, and the nearest known key. Values that may hold a credential are never quoted.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from stream.errors import SettingsError
from stream.serve.environment import child_model, fill_placeholders, is_model_map, override
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
    Section,
    ServerSettings,
    WatchOptions,
)
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

CameraName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A camera's name is a part of URLs and of MQTT topics, so it holds no `/`, `+` or `#`."""


class Config(Section):
    """Everything `ov2 serve` reads."""

    cameras: dict[CameraName, CameraSettings] = Field(min_length=1)
    model: ModelSettings = Field(default_factory=ModelSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    homeassistant: HomeAssistantSettings = Field(default_factory=HomeAssistantSettings)
    data: Path = Field(
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
        """The same with another address for HTTP, where one is given (the command line's flags)."""
        given = {"host": host, "port": port}
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
    def clips_folder(self) -> Path:
        """Where clips are cut and kept; nothing in it outlives the service."""
        return self.data / "clips"

    @property
    def memory_folder(self) -> Path:
        """Where the cameras' memories are, a folder each. A relative path is in the data folder."""
        return self.data / (self.memory.folder or "memory")


def load(path: Path, environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FOLDER) -> Config:
    """Read `path`. Raises `SettingsError` when it is missing, is no YAML, or holds a setting unknown or out of range."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"configuration {path}: expected a readable YAML file, got {type(error).__name__}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"configuration {path}: expected YAML, got a syntax error{where}") from None
    return parse(document, environ, secrets, name=str(path)).beside(path.parent)


def parse(
    document: Any, environ: Mapping[str, str] | None = None, secrets: Path = SECRETS_FOLDER, name: str = "configuration"
) -> Config:
    """Validate a parsed document. Raises `SettingsError`."""
    environ = os.environ if environ is None else environ
    if not isinstance(document, dict | None):
        raise SettingsError(f"{name}: expected a map with `cameras:`, got {type(document).__name__}")
    filled = fill_placeholders(override(document or {}, environ, Config), environ, secrets)
    try:
        return Config.model_validate(filled)
    except ValidationError as error:
        problems = "; ".join(_problems(error, filled))
        raise SettingsError(f"{name}: {problems}") from None


def schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    return Config.model_json_schema()


def _problems(error: ValidationError, document: Mapping[str, Any]) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        loc = [str(part) for part in item["loc"] if part != "[key]"]
        where = ".".join(loc) or "the file"
        if item["type"] == "extra_forbidden":
            yield f"{where}: unknown setting; {_nearest(loc)}"
        elif item["type"] == "missing":
            yield f"{where}: expected a value, got nothing; add it to the file or set OV2_{'_'.join(loc).upper()}"
        else:
            expected = item["msg"].removeprefix("Value error, ")
            expected = expected.replace("Input should be", "expected").replace("String should", "expected text that should")
            yield f"{where}: {expected}{_got(loc, document)}"


def _got(loc: list[str], document: Any) -> str:
    if any(part in CREDENTIAL_KEYS for part in loc):
        return ""
    for part in loc:
        if not isinstance(document, Mapping) or part not in document:
            return ""
        document = document[part]
    return (
        f", got {document!r}" if isinstance(document, str | int | float | bool | None) else f", got {type(document).__name__}"
    )


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
    close = difflib.get_close_matches(loc[-1], known, n=1, cutoff=0.4)
    return f"nearest known setting: {close[0]}" if close else f"known settings: {', '.join(known)}"
