"""The sections of the configuration file: what may be set, and its defaults.

In: nothing. Out: one frozen class per section, validated by itself; the schema of the file is made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, model_validator

from stream.codec.codec import CATCH_UP_S
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.config.folders import kept_folder
from stream.config.host_names import host_name
from stream.config.overrides import SessionOverrides, TokenizerOverrides
from stream.config.recording import RecordSettings
from stream.errors import SourceError
from stream.section import LONGEST_DAYS, LONGEST_S, Section
from stream.sources.limits import IngestLimits
from stream.sources.options import Transport
from stream.sources.policy import KNOWN_SCHEMES, SourcePolicy
from stream.watch.settings import WatchName, WatchSettings

Entry = TypeVar("Entry")
LONGEST_TOKEN = 1024
HostName = Annotated[str, AfterValidator(host_name)]


def _is_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not text or len(text) > LONGEST_TOKEN or not all("!" <= char <= "~" for char in text):
        raise ValueError(f"expected 1 to {LONGEST_TOKEN} printable ASCII characters without spaces")
    return token


Token = Annotated[SecretStr, AfterValidator(_is_token)]
"""What a client sends behind `Bearer`."""


class BoundaryAlert(Section):
    """The alert that needs no model: a change of the camera's bit cost."""

    enabled: bool = Field(default=True, description="publish boundary events")
    onset: float = Field(
        default=4.5, gt=0, le=1e6, description="how far the cost must leave its running level, in running scales, summed up"
    )
    calm_s: float = Field(default=1.0, gt=0, le=LONGEST_S, description="seconds of a steady cost that end an event")
    refractory_s: float = Field(
        default=0.75, ge=0, le=LONGEST_S, description="least seconds from one change that is told to the next"
    )


class Reconnect(Section):
    """Pauses between attempts to reach a camera: random, up to a ceiling that doubles from the first to the longest."""

    first_s: float = Field(default=1.0, gt=0, le=LONGEST_S, description="ceiling of the first pause")
    longest_s: float = Field(default=30.0, gt=0, le=LONGEST_S, description="highest ceiling; begun anew after a good minute")


class CameraSettings(Section):
    """One camera, file or publisher."""

    url: str = Field(
        repr=False,
        min_length=1,
        description="rtsp://..., listen:rtsp://HOST:PORT/PATH, whip, http(s)://..., udp://..., a file, replay:FOLDER",
    )
    listen: bool = Field(default=False, description="wait for a publisher at the URL, as with listen:rtsp://...")
    enabled: bool = Field(default=True, description="false keeps the entry and leaves the camera alone")
    timeout_s: float = Field(default=10.0, gt=0, le=3600, description="longest wait for an answer of the camera when opening")
    stale_s: float = Field(
        default=10.0,
        ge=0,
        le=LONGEST_S,
        description="silence after which the camera is opened again; 0: never, for cameras that send only when something happens",
    )
    reconnect: Reconnect = Field(default_factory=Reconnect)
    transport: Transport = Field(default="auto", description="of RTSP: tcp, udp, http; auto: TCP, or UDP where TCP is refused")
    tls_verify: bool = Field(default=True, description="of rtsps:// and https://: the certificate must be one that is trusted")
    tls_ca_file: Path | None = Field(default=None, description="whom to trust instead of the system's authorities")
    low_latency: bool = Field(default=False, description="over UDP: do not wait for packets that come out of order")
    paced: bool = Field(default=True, description="play a file at the speed it was taken, as a camera would")
    loop: bool = Field(default=False, description="begin a file again when it ends")
    record: RecordSettings | None = Field(default=None, description="keep the camera's packets on disk, for clips and replays")
    mailbox_packets: int = Field(
        default=256, ge=8, le=1_000_000, description="packets held between reading and tokenizing; then whole groups drop"
    )
    pending_groups: int = Field(
        default=16, ge=1, le=100_000, description="groups that may wait for the model; then the oldest is skipped"
    )
    boundary: BoundaryAlert = Field(default_factory=BoundaryAlert)
    watches: dict[WatchName, WatchSettings] = Field(default_factory=dict, description="sentences to watch for, by name")
    tokenizer: TokenizerOverrides = Field(default_factory=TokenizerOverrides)
    session: SessionOverrides = Field(default_factory=SessionOverrides)


class ModelSettings(Section):
    """Which checkpoint, and where it runs."""

    path: str = Field(default="ov2-nano", description="a folder of the released layout, or the name of a bundled checkpoint")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1")
    weights: Literal["model", "int8", "int4"] = Field(default="model", description="int8 and int4 need ov2-live[quant]")
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads of the model")


class MqttSettings(Section):
    """The broker that events go to. Leave the whole section out for the embedded one."""

    host: str | None = Field(default=None, description="broker's host; empty starts the embedded broker")
    port: int | None = Field(
        default=None, ge=0, le=65535, description="broker's port; empty: 1883, or a free one for the embedded broker"
    )
    username: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None
    prefix: str = Field(default="ov2", pattern=r"^[^/+#]+(/[^/+#]+)*$", description="first part of every topic")
    client_id: str | None = Field(default=None, description="one per installation; a random one when empty")
    tls: bool = Field(default=False, description="encrypt, and see that the broker is the one it says")
    ca_file: Path | None = Field(default=None, description="PEM file of authorities to trust, instead of the system's")
    cert_file: Path | None = Field(default=None, description="our own certificate, where the broker asks for one")
    key_file: Path | None = Field(default=None, description="its key, where it is not in the same file")
    insecure: bool = Field(default=False, description="with tls: believe any certificate")
    keepalive_s: int = Field(default=30, ge=1, le=65_535)
    max_asks: int = Field(
        default=4, ge=1, le=1000, description="questions over MQTT answered at the same time; four times as many may wait"
    )
    state_every_s: float = Field(
        default=5.0, gt=0, le=LONGEST_S, description="how often the cameras' state topics are refreshed"
    )


class HomeAssistantSettings(Section):
    """MQTT discovery: cameras, watches and figures appear in Home Assistant by themselves."""

    enabled: bool = True
    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[^/+#]+(/[^/+#]+)*$")
    max_delay_s: float = Field(
        default=5.0,
        ge=0,
        le=LONGEST_S,
        description="longest random wait before devices are announced again to a Home Assistant that started",
    )


def _is_in_the_data_folder(url: str) -> str:
    if "://" not in url:
        kept_folder(Path(url))
    return url


class JournalSettings(Section):
    """Where events, questions and answers are written before they are told, and for how long they are kept."""

    url: Annotated[str, AfterValidator(_is_in_the_data_folder)] | None = Field(
        default=None,
        repr=False,
        description="a file, redis://HOST:PORT/DB or rediss://...; empty: journal.sqlite in the data folder",
    )
    name: str = Field(default="ov2", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="keeps apart services that share one Redis")
    retention_days: float = Field(default=30.0, gt=0, le=LONGEST_DAYS, description="older entries are forgotten")
    max_mb: float = Field(default=512.0, ge=1, le=1e9, description="then the oldest entries are forgotten")
    held_entries: int = Field(
        default=10_000,
        ge=100,
        le=100_000_000,
        description="entries held in memory while the journal cannot be written; then the oldest drops",
    )
    outbox_entries: int = Field(
        default=100_000, ge=1, le=1_000_000_000, description="entries that wait for one sink; then its oldest drop"
    )
    outbox_hours: float = Field(
        default=72.0, gt=0, le=24 * LONGEST_DAYS, description="how long an entry waits for a sink; then it drops"
    )


class NotifySettings(Section):
    """One more who is told of events, behind the same outbox as the broker."""

    url: SecretStr = Field(
        description="http(s)://...: each event as a POST of JSON; any other address goes to Apprise: ntfy://..., mailto://..., tgram://..."
    )
    kinds: frozenset[Literal["boundary", "watch"]] = Field(default=frozenset({"watch"}), description="events that are told")
    severity: Literal["detection", "alert"] = Field(default="alert", description="the least that rings (Apprise)")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="of the POST, a credential say")


_LIMITS = IngestLimits()


class IngestSettings(Section):
    """What cameras may be read from, and how much of one is taken. Leave a list out for no limit."""

    schemes: list[str] | None = Field(default=None, description=f"some of {', '.join(KNOWN_SCHEMES)}")
    hosts: list[str] | None = Field(
        default=None,
        description="names, wildcards (*.cams.example), IP addresses or networks (192.0.2.0/24) that may be connected to",
    )
    folders: list[Path] | None = Field(
        default=None, description="files and packet logs must lie in or under one, links followed"
    )
    max_access_unit_mb: float = Field(
        default=_LIMITS.max_access_unit_mb, ge=0.1, le=256, description="MiB of one picture's bytes; more breaks the connection"
    )
    max_picture_px: int = Field(
        default=_LIMITS.max_picture_px,
        ge=1024,
        le=LARGEST_PICTURE_PX,
        description="pixels of a picture; more breaks the connection",
    )
    reader_memory_mb: float = Field(
        default=_LIMITS.reader_memory_mb, ge=64, description="MiB that reading one camera may need beyond those of the start"
    )

    catch_up_ms: float = Field(
        default=1000 * CATCH_UP_S,
        ge=0,
        le=10_000,
        description="pictures that nobody has asked for wait undecoded, as many as decode in so long; 0 decodes all as they come",
    )

    workers: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="processes that tokenize cameras' packets; empty: as many as cores, at most the cameras; 0: the service's own threads",
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> IngestSettings:
        self.policy()
        return self

    @property
    def catch_up_s(self) -> float:
        return self.catch_up_ms / 1000

    def policy(self) -> SourcePolicy:
        """Raises `ValueError` for an entry that cannot be read."""
        try:
            return SourcePolicy(schemes=_tuple(self.schemes), hosts=_tuple(self.hosts), folders=_tuple(self.folders))
        except SourceError as error:
            raise ValueError(str(error)) from None

    def limits(self) -> IngestLimits:
        return IngestLimits(
            max_access_unit_mb=self.max_access_unit_mb,
            max_picture_px=self.max_picture_px,
            reader_memory_mb=self.reader_memory_mb,
        )


class ClipOptions(Section):
    """Clips over HTTP: each is cut once and kept for who asks again, in `clips` in the data folder."""

    max_mb: int = Field(default=1024, ge=1, le=1 << 20, description="of clips kept on disk; the least recently asked for goes")
    max_files: int = Field(default=64, ge=1, le=10_000, description="clips kept on disk")
    max_waiting: int = Field(default=16, ge=0, le=1000, description="clips waiting to be cut; more get 503")
    max_open: int = Field(default=64, ge=1, le=1000, description="clips waited for or being sent; more get 503")
    write_timeout_s: float = Field(
        default=20.0, gt=0, le=3600, description="a client that takes less than 64 KiB of a clip in so long is left"
    )


class ServerSettings(Section):
    """The HTTP side."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8710, ge=0, le=65535, description="0 finds a free one")
    tokens: tuple[Token, ...] = Field(
        default=(), description="bearer tokens; when set, everything but /healthz, /readyz and the two pages needs one of them"
    )
    open_reads: bool = Field(
        default=False, description="with tokens: pictures, events and status are shown without one all the same"
    )
    hosts: tuple[HostName, ...] = Field(
        default=(),
        description="names under which clients reach the service, behind a proxy say; addresses, localhost and the machine's own name are "
        "known; *.example.org takes every name under it, * any",
    )
    max_questions: int = Field(default=16, ge=1, le=100_000, description="questions waiting or being answered; more get 503")
    max_branches: int = Field(default=4, ge=1, le=10_000, description="questions answered at the same time")
    max_tokens: int = Field(default=256, ge=1, le=1_000_000, description="longest answer a client may ask for")
    max_connections: int = Field(default=512, ge=1, le=100_000, description="connections at a time; more get 503")
    max_followers: int = Field(
        default=128, ge=1, le=100_000, description="clients of /v1/events/stream at a time; more get 503"
    )
    max_share_per_address: float = Field(
        default=0.5, gt=0, le=1, description="share of connections, and of followers, that one client address may hold"
    )
    header_timeout_s: float = Field(default=10.0, gt=0, le=LONGEST_S, description="longest time a request's headers may take")
    body_timeout_s: float = Field(
        default=10.0, gt=0, le=LONGEST_S, description="longest time a request's body may take; then 408"
    )
    write_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=LONGEST_S,
        description="longest time a client may leave what is sent to it unread; then it is dropped",
    )
    max_body_kb: int = Field(
        default=64, ge=1, le=1_000_000, description="longest body of a request in JSON; longer ones get 413"
    )


class EngineOptions(Section):
    """Memory and steps of the device that all cameras share. Unset ones follow from the device."""

    num_pages: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="pages of keys and values; empty: for all cameras, or by memory"
    )
    memory_share: float = Field(default=0.8, gt=0, lt=1, description="share of the free GPU memory that becomes pages")
    kv_dtype: Literal["model", "int8", "fp8"] = Field(default="model", description="int8 and fp8 hold twice as many pages")
    step_tokens: int | None = Field(
        default=None, ge=16, le=10_000_000, description="tokens of all cameras in one step of the model"
    )


class WatchOptions(Section):
    """How the watches of all cameras are judged, and where those are kept that were made while the service ran."""

    every_s: float = Field(
        default=0.5, ge=0.1, le=LONGEST_S, description="seconds from one judgement of a camera's watches to the next"
    )
    share: float = Field(default=0.5, gt=0, le=1, description="share of the model's time that judging may take")
    max_zones: int = Field(default=4, ge=0, le=1000, description="zones of all cameras; each has a window of its own")
    caption: str = Field(
        default="What happened last?",
        description="asked when a watch begins; the answer follows as an update of the event; empty: nothing is asked",
    )


class MemoryOptions(Section):
    """What cameras showed earlier, kept on disk for questions about the past. Bounds are for each camera."""

    enabled: bool = Field(default=True, description="false keeps nothing: questions see the window alone")
    folder: Annotated[Path, AfterValidator(kept_folder)] | None = Field(
        default=None, description="empty: memory in the data folder"
    )
    max_mb: float = Field(default=2000.0, ge=1, le=1e9, description="then the oldest groups are forgotten")
    max_age_days: float = Field(default=7.0, gt=0, le=LONGEST_DAYS, description="older groups are forgotten")


def _tuple(entries: list[Entry] | None) -> tuple[Entry, ...] | None:
    return None if entries is None else tuple(entries)
