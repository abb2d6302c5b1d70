"""YAML as a configuration is read: nothing ambiguous, nothing without an end.

In: bytes or text of a document. Out: its value, and the line of every setting; or `SettingsError` with the line. Refused besides what is no
YAML: a key twice in one map (the first would be lost silently), an alias inside of what it names, a document that is deep, or that
aliases make large, numbers past 64 bits, and everything that is not UTF-8 text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import Mark

from stream.errors import SettingsError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
"""The deepest setting there is lies nine levels down."""
MAX_NODES = 100_000
"""Aliases written out."""
MAX_INT_BITS = 64
_CONSTRUCTION = (ValueError, TypeError, OverflowError, LookupError, AttributeError)
"""What PyYAML's constructors raise for a scalar that is none of its kind, as the 31st of February."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """`lines`: of every key and entry, by its path, counted from 1."""

    value: Any
    lines: dict[Path, int]


def read(data: bytes | str, name: str) -> Document:
    """Raises `SettingsError`, which begins with `name`."""
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{name}: expected at most {MAX_BYTES} bytes of YAML, got more")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1 if isinstance(data, bytes) else 1
        raise SettingsError(f"{name}: expected a readable YAML file in UTF-8, got other bytes at line {line}") from None
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: expected YAML, got {_told(error, text)}") from None
    lines: dict[Path, int] = {}
    _note_lines(node, (), lines)
    return Document(value, lines)


def _told(error: yaml.YAMLError, text: str) -> str:
    """What is wrong and where, without the text itself: it may hold a credential."""
    if isinstance(error, _RefusedError):
        return f"{error.problem}{_at(error.problem_mark)}"
    if isinstance(error, yaml.reader.ReaderError):
        number = ord(error.character) if isinstance(error.character, str) else error.character
        return f"the character U+{number:04X} at line {text[: error.position].count(chr(10)) + 1}"
    return f"a syntax error{_at(getattr(error, 'problem_mark', None))}"


def _at(mark: Mark | None) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


class _RefusedError(ConstructorError):
    """Our own reasons; `problem` repeats no value."""

    def __init__(self, problem: str, mark: Mark) -> None:
        super().__init__(None, None, problem, mark)


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[str | None] = []
        self._num_nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor, mark = event.anchor, event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if anchor in self._open:
                raise _RefusedError("an alias inside of what it names", mark)
            self._count(self._sizes.get(anchor, 0), mark)
            return super().compose_node(parent, index)
        if len(self._open) >= MAX_DEPTH:
            raise _RefusedError(f"more than {MAX_DEPTH} levels", mark)
        before = self._num_nodes
        self._count(1, mark)
        self._open.append(anchor)
        node = super().compose_node(parent, index)
        self._open.pop()
        if anchor is not None:
            self._sizes[anchor] = self._num_nodes - before
        return node

    def _count(self, num_nodes: int, mark: Mark) -> None:
        self._num_nodes += num_nodes
        if self._num_nodes > MAX_NODES:
            raise _RefusedError(f"more than {MAX_NODES} values, aliases written out,", mark)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            before = seen.get((key.tag, key.value))
            if before is not None:
                raise _RefusedError(f"the key {shown(key.value)} a second time (first in line {before})", key.start_mark)
            seen[key.tag, key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except _CONSTRUCTION:
            raise _RefusedError("a value that is none of its kind", node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise _RefusedError(f"a number of more than {MAX_INT_BITS} bits", node.start_mark)
        return value


def shown(text: str, longest: int = 64) -> str:
    """A text in a message of one line."""
    cut = text if len(text) <= longest else text[:longest] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)


def _note_lines(node: yaml.Node | None, path: Path, lines: dict[Path, int]) -> None:
    """Aliases are written out: `MAX_NODES` bounds it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                lines[*path, key.value] = key.start_mark.line + 1
                _note_lines(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*path, str(index)] = value.start_mark.line + 1
            _note_lines(value, (*path, str(index)), lines)
