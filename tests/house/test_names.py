"""Names and sizes in the house: a class name stands for one thing, unless its reason is here; no file but a table is long."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from repository import ROOT, TESTS
from test_layers import PACKAGES

MOST_LINES = 350
TABLES = {"stream/codec/h264/slice_data/tables.py"}
"""Numbers of a standard, kept together."""
SDK = "the SDK imports none of ours, so it has its own type for what the service sends"
TWICE = {
    "Addresses": "of the demo's service and of the benchmark's: other programs, so other addresses",
    "Answer": "what is streamed by the model, sent by the service, read by the SDK; an RTSP server's; an HTTP server's to a reader",
    "Asked": "a stretch of a clip as it was asked for; a question of an evaluation and what was answered",
    "Branch": "a branch of a live session; the same in a training sample, as rows",
    "CameraStatus": SDK,
    "Candidate": "a frame that blocks may be taken from; an ICE candidate (RFC 8839)",
    "Config": "tile sizes of a Triton kernel, as Triton calls them; the whole YAML file",
    "Connection": "one of HTTP to the service; one of the service to a camera",
    "Damage": "pictures that a camera's stream lost; rows of a journal that cannot be read",
    "Evidence": SDK,
    "Fault": "drawn by `ov2 bench chaos` for a camera; by `ov2 bench faults` for a program",
    "FaultKind": "what can happen to a camera; what can break beneath the service",
    "Films": "tokenized films of the memory evaluation; a benchmark's folder of films",
    "Health": "the answer of /healthz; what watches a camera's health",
    "JournalEntry": SDK,
    "JournalPage": SDK,
    "Kind": "of an MQTT packet (3.1.1, 2.2.1); of a record in a packet log",
    "Limits": "of a session; of the draw of faults, in each of the two benches that draw some",
    "Load": "what a camera costs, found by the doctor; how many cameras a benchmark opens",
    "Look": "sentences judged at one moment; settings of the measurement of a camera's rate",
    "Message": "one publication of events; one MQTT publication as an attacker takes it apart",
    "Moment": "media time of one packet; a time of the generated world; a time in a training clip",
    "Opened": "an open container of FFmpeg; a reader process says that it has one",
    "Pace": "a camera's rates, in the doctor; a token bucket of sent messages; of a replay; of a live source's clock",
    "Peer": "a WebRTC peer; a camera program of `ov2 bench chaos`",
    "Picture": "decoded pixels; an encoded picture that a clip waits with; an encoded picture that a source joins from packets",
    "PublishError": "of sinks of events; of the world's own camera, which imports nothing of ours",
    "Question": "at work in the engine; asked of a camera; drawn from the generated world",
    "Reading": "where the parser of slice data stands; what a probe of the attacked service measured",
    "Recall": SDK + " (there: where an answer looked; in the service: what decides where to look)",
    "Record": "of a packet log; of a training run; of one attack",
    "Recorded": "a packet of a packet log; the wall clock of a file",
    "Reply": "an answer on its way: the engine's; the SDK's; an HTTP reply to an attacker",
    "RequestError": "work of the engine that raised; a request to the service that makes no sense: other exception trees",
    "Row": "of the journal's database; of the memory's index",
    "Sample": "an access unit of WebRTC with its times (as RFC 3550 samples); one packed training window",
    "SeedError": "of the trainer; of the world, which imports nothing of ours",
    "Seen": "what a question could see; what polls of the camera benchmark saw",
    "Segment": "consecutive tokens of a session; a file of a packet log",
    "SegmentFile": "one that a packet log writes; one that a memory keeps: formats of their own",
    "Service": "the service; what MQTT requests need of it, as a protocol; `ov2 serve` as a program that a benchmark starts",
    "Session": "of the model; of WebRTC (RFC 9725)",
    "Source": "a frame that blocks are taken from, as a protocol; an opened camera or file",
    "Span": "bins of a closed group; media and wall time that is remembered of a group",
    "Stage": "of a curriculum; of the generated world, with its actors",
    "Start": "of a picture in slice data; of a recording; of a service that is to be refused, in an attack",
    "Stretch": "of a packet log; of a memory",
    "Tally": "counts of an engine; counts of one evaluation each",
    "Timings": SDK,
    "Told": "an event as an evaluation received it; a packet as a benchmark tells it; a message as a subscriber got it",
    "WatchStatus": SDK,
    "Window": SDK + " (there: its seconds; in the model: its pages)",
    "_Best": "private: the best frame of a slot; the best blocks so far",
    "_Picture": "private: while its slices are read; while its RTP packets are put together",
}
"""Class names that stand in more than one file, and what each stands for there."""


def files_of_ours() -> Iterator[Path]:
    return chain.from_iterable(folder.rglob("*.py") for folder in PACKAGES.values())


def classes() -> dict[str, set[str]]:
    """Names of classes, and the files in which each stands."""
    places: dict[str, set[str]] = defaultdict(set)
    for file in files_of_ours():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(str(file.relative_to(ROOT)))
    return places


def test_a_class_name_that_stands_twice_has_its_reason() -> None:
    twice = {name: sorted(files) for name, files in classes().items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in TWICE} == {}, "another name, or its reason in TWICE"
    assert sorted(set(TWICE) - set(twice)) == [], "stands once by now: out of TWICE"


def test_classes_and_files_that_the_architecture_names_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    glossary = page.partition("| word | class |")[2].partition("\n\n")[0]
    named = [name for row in glossary.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert len(named) > 50
    assert sorted(set(named) - set(classes())) == []
    paths = re.findall(r"`((?:stream|ov2|trainer|kernels|tests|benchmarks|clients)/[\w./]+)`", page.replace("NAME", "__init__"))
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists() and not path.endswith(".html")] == []


def test_no_file_but_a_table_is_longer_than_can_be_kept_in_mind() -> None:
    files = chain(files_of_ours(), TESTS.rglob("*.py"), (ROOT / "scripts").rglob("*.py"))
    lines = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES and name not in TABLES} == {}
