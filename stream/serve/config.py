"""The one configuration file of the service: what may be set, and its defaults.

In: a YAML file, `OV2_...` environment overrides, `{NAME}` placeholders. Out: a validated `Config`, or `SettingsError` that
names the setting, what was expected, what came, and the nearest known key. Values that may hold a credential are never quoted.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from stream.errors import SettingsError
from stream.serve.environment import child_model, fill_placeholders, is_model_map, override
from stream.serve.overrides import SessionOverrides, TokenizerOverrides

SECRETS_FOLDER = Path("/run/secrets")
CREDENTIAL_KEYS = frozenset({"url", "username", "password"})
"""Settings whose value is never repeated in a message."""

CameraName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A camera's name is a part of URLs and of MQTT topics, so it holds no `/`, `+` or `#`."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BoundaryAlert(_Settings):
    """The alert that needs no model: a change of the camera's bit cost."""

    enabled: bool = Field(default=True, description="publish boundary events")
    onset: float = Field(
        default=4.5, gt=0, description="how far the cost must leave its running level, in running scales, summed up"
    )
    calm_s: float = Field(default=1.0, gt=0, description="seconds of a steady cost that end an event")
    refractory_s: float = Field(default=0.75, ge=0, description="least seconds from one change that is told to the next")


class CameraSettings(_Settings):
    """One camera, file or publisher."""

    url: str = Field(repr=False, min_length=1, description="rtsp://..., a file, file://..., or listen:rtsp://HOST:PORT/PATH")
    listen: bool = Field(default=False, description="wait for a publisher at the URL, as with listen:rtsp://...")
    enabled: bool = Field(default=True, description="false keeps the entry and leaves the camera alone")
    timeout_s: float = Field(default=10.0, gt=0, description="longest wait for an answer of the camera when opening or reading")
    paced: bool = Field(default=True, description="play a file at the speed it was taken, as a camera would")
    mailbox_packets: int = Field(
        default=256, ge=8, description="packets held between reading and tokenizing; then whole groups drop"
    )
    pending_groups: int = Field(default=16, ge=1, description="groups that may wait for the model; then the oldest is skipped")
    boundary: BoundaryAlert = Field(default_factory=BoundaryAlert)
    tokenizer: TokenizerOverrides = Field(default_factory=TokenizerOverrides)
    session: SessionOverrides = Field(default_factory=SessionOverrides)


class ModelSettings(_Settings):
    """Which checkpoint, and where it runs."""

    path: str = Field(default="ov2-nano", description="a folder of the released layout, or the name of a bundled checkpoint")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1")
    weights: Literal["model", "int8", "int4"] = Field(default="model", description="int8 and int4 need ov2-live[quant]")
    threads: int = Field(default=1, ge=1, description="CPU threads of the model")


class MqttSettings(_Settings):
    """The broker that events go to. Leave the whole section out for the embedded one."""

    host: str | None = Field(default=None, description="broker's host; empty starts the embedded broker")
    port: int | None = Field(
        default=None, ge=0, le=65535, description="broker's port; empty: 1883, or a free one for the embedded broker"
    )
    username: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None
    prefix: str = Field(default="ov2", pattern=r"^[^/+#]+(/[^/+#]+)*$", description="first part of every topic")
    client_id: str | None = Field(default=None, description="one per installation; a random one when empty")
    tls: bool = False
    keepalive_s: int = Field(default=30, ge=1)
    queue_messages: int = Field(default=1000, ge=1, description="events held while the broker is away; then the oldest drops")
    state_every_s: float = Field(default=5.0, gt=0, description="how often the cameras' state topics are refreshed")


class ServerSettings(_Settings):
    """The HTTP side."""

    host: str = "127.0.0.1"
    port: int = Field(default=8710, ge=0, le=65535, description="0 finds a free one")
    max_questions: int = Field(default=16, ge=1, description="questions waiting or being answered; more get 503")
    max_branches: int = Field(default=4, ge=1, description="questions answered at the same time")
    max_tokens: int = Field(default=256, ge=1, description="longest answer a client may ask for")


class EngineOptions(_Settings):
    """Memory and steps of the device that all cameras share. Unset ones follow from the device."""

    num_pages: int | None = Field(
        default=None, ge=1, description="pages of keys and values; empty: for all cameras, or by memory"
    )
    memory_share: float = Field(default=0.8, gt=0, lt=1, description="share of the free GPU memory that becomes pages")
    kv_dtype: Literal["model", "int8", "fp8"] = Field(default="model", description="int8 and fp8 hold twice as many pages")
    step_tokens: int | None = Field(default=None, ge=16, description="tokens of all cameras in one step of the model")


class Config(_Settings):
    """Everything `ov2 serve` reads."""

    cameras: dict[CameraName, CameraSettings] = Field(min_length=1)
    model: ModelSettings = Field(default_factory=ModelSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    engine: EngineOptions = Field(default_factory=EngineOptions)
    server: ServerSettings = Field(default_factory=ServerSettings)
    tokenizer: TokenizerOverrides = Field(default_factory=TokenizerOverrides)
    session: SessionOverrides = Field(default_factory=SessionOverrides)

    def listening_on(self, host: str | None, port: int | None) -> Config:
        """The same with another address for HTTP, where one is given (the command line's flags)."""
        given = {"host": host, "port": port}
        changed = {key: value for key, value in given.items() if value is not None}
        return self.model_copy(update={"server": self.server.model_copy(update=changed)})


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
    return parse(document, environ, secrets, name=str(path))


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
