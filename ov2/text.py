"""The text tokenizer of a checkpoint: the `tokenizer.json` of its folder.

In: text, or token ids. Out: token ids, or text. Special tokens are put in by our prompt templates as ids; the text that a user
types is always plain text, whatever it spells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ov2.errors import CheckpointError

FILE = "tokenizer.json"
IM_START, IM_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"
END_OF_TEXT = "<|endoftext|>"
UNFINISHED = "\ufffd"
"""What a decoder writes for bytes that are not a whole character yet."""


class TextTokenizer:
    """Encode and decode text. `backend` is a `tokenizers.Tokenizer`."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._backend.encode_special_tokens = True  # a special token's name inside plain text is plain text
        self.im_start, self.im_end = self._special(IM_START), self._special(IM_END)
        self.vision_start, self.vision_end = self._special(VISION_START), self._special(VISION_END)
        self.image_pad = self._special(IMAGE_PAD)

    @classmethod
    def from_folder(cls, folder: str | Path) -> TextTokenizer:
        """Read a folder's tokenizer.json. Raises `CheckpointError` when it is missing, damaged, or lacks the chat tokens."""
        from tokenizers import Tokenizer

        file = Path(folder) / FILE
        if not file.is_file():
            raise CheckpointError(f"{folder}: expected a file {FILE}, found none")
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # the Rust side raises bare Exception
            raise CheckpointError(f"{file}: expected a tokenizer file, got one that does not load ({error})") from error
        return cls(backend)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out. Bytes that are no whole character come as U+FFFD."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=True)
        return text

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        end = self._backend.token_to_id(END_OF_TEXT)
        return frozenset({self.im_end} if end is None else {self.im_end, end})

    @property
    def vocab_size(self) -> int:
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def _special(self, name: str) -> int:
        token = self._backend.token_to_id(name)
        if token is None:
            raise CheckpointError(f"{FILE}: expected the chat token {name} in its vocabulary, found none")
        return int(token)


class TextStream:
    """Token ids in, pieces of text out: every piece is whole characters, and the pieces add up to the text."""

    def __init__(self, text: TextTokenizer) -> None:
        self._text = text
        self._ids: list[int] = []
        self._said = 0

    def push(self, token: int) -> str:
        """Text that this token completes, possibly none."""
        self._ids.append(token)
        whole = self._text.decode(self._ids)
        return "" if whole.endswith(UNFINISHED) else self._new(whole)

    def finish(self) -> str:
        """Text held back behind half a character; the half character itself is left out."""
        return self._new(self._text.decode(self._ids).rstrip(UNFINISHED))

    def _new(self, whole: str) -> str:
        piece, self._said = whole[self._said :], max(self._said, len(whole))
        return piece
