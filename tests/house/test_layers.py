"""The layers of the house: who may import whom, read from the source without running it."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from repository import ROOT, TESTS

PACKAGES = {
    "ov2_kernels": ROOT / "kernels" / "ov2_kernels",
    "ov2": ROOT / "ov2",
    "stream": ROOT / "stream",
    "trainer": ROOT / "trainer",
    "ov2_client": ROOT / "clients" / "python" / "ov2_client",
    "ov2_bench": ROOT / "benchmarks" / "ov2_bench",
    "ov2_cli": ROOT / "clients" / "cli" / "ov2_cli",
}
OURS_ALLOWED = {
    "ov2_kernels": {"ov2_kernels"},
    "ov2": {"ov2", "ov2_kernels"},
    "stream": {"stream", "ov2"},
    "trainer": {"trainer", "stream", "ov2"},
    "ov2_client": {"ov2_client"},
    "ov2_bench": set(PACKAGES) - {"ov2_cli"},
    "ov2_cli": set(PACKAGES),
}
STREAM_FROM_THE_GROUND = (
    "codec",
    "sources",
    "tokenizer",
    "memory",
    "packetlog",
    "doctor",
    "journal",
    "events",
    "webrtc",
    "watch",
    "config",
    "camera",
    "serve",
)
"""Folders of stream/: each may import those before it."""
BARE_MACHINE = {"torch", "triton", "transformers", "tokenizers", "numpy", "safetensors"}
"""What a bare GPU machine has (transformers brings tokenizers): all that the model side may need."""
THIRD_PARTY_ALLOWED = {"ov2_kernels": {"torch", "triton"}, "ov2": BARE_MACHINE}
OPTIONAL = {"ov2": {"torchao"}}
"""What may be missing, so is imported where it is used."""
NO_ASYNC = {"asyncio", "http", "socketserver", "socket"}
CLI_AT_IMPORT = {"ov2_cli", "typer", "rich"}
NO_HTTP = {"fastapi", "starlette", "uvicorn"}
"""What a camera does not know about."""
TRAINER_DOORS = ("stream.serve", "stream.events", "stream.camera", "stream.config")


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str
    at_import: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


@cache
def imports_of(package: str) -> tuple[Import, ...]:
    """Every import of a package; `at_import` where it runs when the module loads (typing-only imports do not run)."""
    files = sorted(PACKAGES[package].rglob("*.py"))
    return tuple(each for file in files for each in _walk(ast.parse(file.read_text(encoding="utf-8")), file, at_import=True))


def _walk(node: ast.AST, file: Path, *, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(file, child.lineno, name.name, at_import) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file.relative_to(ROOT)}:{child.lineno}: expected an absolute import, got a relative one"
            # `from stream import serve` opens the module stream.serve
            yield from (Import(file, child.lineno, f"{child.module}.{name.name}", at_import) for name in child.names)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(child, file, at_import=at_import and not later and not typing_only)


def listed(wrong: list[Import]) -> str:
    return "\n".join(map(str, wrong))


def module_of(file: Path, package: str) -> str:
    inside = file.relative_to(PACKAGES[package]).with_suffix("")
    parts = [package, *inside.parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files() -> dict[str, set[str]]:
    """Of every module of ours, the modules of ours that it names in an import, whenever that runs."""
    known = {module_of(file, package) for package, folder in PACKAGES.items() for file in folder.rglob("*.py")}
    graph: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for each in imports_of(package):
            imported = each.module if each.module in known else each.module.rpartition(".")[0]
            if imported in known and imported != (here := module_of(each.file, package)):
                graph[here].add(imported)
    return graph


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_the_layers_below(package: str) -> None:
    wrong = [one for one in imports_of(package) if one.top in PACKAGES and one.top not in OURS_ALLOWED[package]]
    assert not wrong, listed(wrong)


def test_folders_of_stream_import_only_those_below() -> None:
    folders = {path.name for path in PACKAGES["stream"].iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(STREAM_FROM_THE_GROUND)
    wrong = []
    for one in imports_of("stream"):
        here, parts = one.file.relative_to(PACKAGES["stream"]).parts[0], one.module.split(".")
        if one.top == "stream" and parts[1] in folders:
            below = STREAM_FROM_THE_GROUND[: STREAM_FROM_THE_GROUND.index(here) + 1] if here in folders else ()
            wrong += [one] if parts[1] not in below else []
    assert not wrong, listed(wrong)


def test_no_two_files_import_each_other_even_in_a_circle() -> None:
    graph = imported_files()

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += graph.get(module, ())
        return seen

    assert [module for module in sorted(graph) if module in reaches(module)] == []


@pytest.mark.parametrize("package", THIRD_PARTY_ALLOWED)
def test_the_model_side_needs_only_what_a_bare_gpu_machine_has(package: str) -> None:
    known = set(sys.stdlib_module_names) | set(PACKAGES) | THIRD_PARTY_ALLOWED[package]
    optional = OPTIONAL.get(package, set())
    found = [one for one in imports_of(package) if one.at_import or one.top not in optional]
    wrong = [one for one in found if one.top not in known or one.top in NO_ASYNC]
    assert not wrong, listed(wrong)


def test_the_trainer_uses_the_stream_but_not_its_service() -> None:
    wrong = [one for one in imports_of("trainer") if f"{one.module}.".startswith(tuple(f"{door}." for door in TRAINER_DOORS))]
    assert not wrong, listed(wrong)


def test_the_world_imports_nothing_of_ours() -> None:
    world = PACKAGES["trainer"] / "world"
    found = [one for one in imports_of("trainer") if one.file.is_relative_to(world) and one.top in PACKAGES]
    wrong = [one for one in found if not one.module.startswith("trainer.world")]
    assert not wrong, listed(wrong)


def test_a_camera_knows_nothing_of_http() -> None:
    camera = PACKAGES["stream"] / "camera"
    wrong = [one for one in imports_of("stream") if one.file.is_relative_to(camera) and one.top in NO_HTTP]
    assert not wrong, listed(wrong)


def test_the_command_opens_every_other_door_lazily() -> None:
    known = set(sys.stdlib_module_names) | CLI_AT_IMPORT
    demo = PACKAGES["ov2_cli"] / "demo"  # opened lazily itself, but for its flags
    wrong = [
        one
        for one in imports_of("ov2_cli")
        if one.at_import and one.top not in known and not (one.top == "ov2_bench" and one.file.is_relative_to(demo))
    ]
    assert not wrong, listed(wrong)


def test_every_package_is_found_where_it_belongs() -> None:
    assert [name for name, folder in PACKAGES.items() if not (folder / "__init__.py").is_file()] == []


def test_tests_lie_in_the_room_they_test() -> None:
    """tests/ROOM/test_*.py, and what they share in tests/support; no packages, so that every name is free once."""
    files = [file.relative_to(TESTS) for file in TESTS.rglob("*.py")]
    wrong = [
        file
        for file in files
        if file != Path("conftest.py")
        and (len(file.parts) != 2 or file.name.startswith("test_") == (file.parts[0] == "support"))
    ]
    assert wrong == []
    assert len({file.name for file in files}) == len(files)
    rooms = {path.name for folder in PACKAGES.values() for path in (folder, *folder.iterdir()) if path.is_dir()}
    rooms |= {"kernels", "clients", "benchmarks", "house", "support"}
    assert {file.parts[0] for file in files if len(file.parts) == 2} <= rooms


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "misc"}
    files = [file for folder in (*PACKAGES.values(), TESTS) for file in folder.rglob("*.py")]
    assert [str(file.relative_to(ROOT)) for file in files if file.stem in nothing] == []


def test_no_script_hides_a_module_of_the_standard_library() -> None:
    """A folder is on the path when a file in it is run."""
    hiding = {"tokenize", "select", "types", "queue", "token", "signal", "http", "code", "io", "time", "test"}
    files = [file for folder in (*PACKAGES.values(), TESTS) for file in folder.rglob("*.py")]
    assert [str(file.relative_to(ROOT)) for file in files if file.stem in hiding] == []
