"""The layers of the house: who may import whom, read from the source without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "ov2_kernels": ROOT / "kernels" / "ov2_kernels",
    "ov2": ROOT / "ov2",
    "stream": ROOT / "stream",
    "trainer": ROOT / "trainer",
    "ov2_client": ROOT / "clients" / "python" / "ov2_client",
    "ov2_cli": ROOT / "clients" / "cli" / "ov2_cli",
}
OURS_ALLOWED = {
    "ov2_kernels": {"ov2_kernels"},
    "ov2": {"ov2", "ov2_kernels"},
    "stream": {"stream", "ov2"},
    "trainer": {"trainer", "stream", "ov2"},
    "ov2_client": {"ov2_client"},
    "ov2_cli": set(PACKAGES),
}
BARE_MACHINE = {"torch", "triton", "transformers", "tokenizers", "numpy", "safetensors"}
"""What a bare GPU machine has (transformers brings tokenizers): all that the model side may need."""
THIRD_PARTY_ALLOWED = {"ov2_kernels": {"torch", "triton"}, "ov2": BARE_MACHINE}
OPTIONAL = {"ov2": {"torchao"}}
"""What may be missing, so is imported where it is used."""
NO_ASYNC = {"asyncio", "http", "socketserver", "socket"}
CLI_AT_IMPORT = {"ov2_cli", "typer", "rich"}
TRAINER_DOORS = ("stream.serve", "stream.events")


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


def imports_of(package: str) -> Iterator[Import]:
    """Every import of a package; `at_import` where it runs when the module loads (typing-only imports do not run)."""
    for file in sorted(PACKAGES[package].rglob("*.py")):
        yield from _walk(ast.parse(file.read_text(encoding="utf-8")), file, at_import=True)


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


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_the_layers_below(package: str) -> None:
    wrong = [one for one in imports_of(package) if one.top in PACKAGES and one.top not in OURS_ALLOWED[package]]
    assert not wrong, listed(wrong)


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


def test_the_command_opens_every_other_door_lazily() -> None:
    known = set(sys.stdlib_module_names) | CLI_AT_IMPORT
    wrong = [one for one in imports_of("ov2_cli") if one.at_import and one.top not in known]
    assert not wrong, listed(wrong)


def test_every_package_is_found_where_it_belongs() -> None:
    assert [name for name, folder in PACKAGES.items() if not (folder / "__init__.py").is_file()] == []


def test_tests_are_flat() -> None:
    tests = ROOT / "tests"
    nested = [file for file in tests.rglob("*.py") if file.parent != tests]
    assert nested == []
    assert not (tests / "__init__.py").exists()


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "misc"}
    files = [file for folder in (*PACKAGES.values(), ROOT / "tests") for file in folder.rglob("*.py")]
    assert [str(file.relative_to(ROOT)) for file in files if file.stem in nothing] == []
