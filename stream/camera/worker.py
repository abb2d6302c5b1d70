"""A worker: a process that tokenizes the packets of several cameras in one thread, where no interpreter's lock is fought over.

Forked from a template, or run by `worker_process.py`: `python -m stream.camera.worker FD`. In, over the socket FD: the socket of a camera; over
that, its `TokenizingSettings`, then requests. Out: in memory whom it serves (`serving.py`); over FD a byte once it is ready; over a camera's
socket one `Reply` to each of these, and nothing more is said over it before that. It ends when the other end of FD does.
"""

from __future__ import annotations

import selectors
import socket
import sys
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Any

from ov2.canvas import CanvasGroup
from stream.camera.serving import NOBODY, Serving
from stream.camera.tokenizing import (
    LocalTokenizer,
    SkippedPacket,
    Tokenized,
    TokenizerFigures,
    TokenizingSettings,
    Widened,
    warm_up,
)
from stream.camera.worker_messages import NUMBER, READY, Reply, Request
from stream.events.event import Change
from stream.sources.channel import Channel
from stream.sources.template import run

LOOKS = frozenset({"peek", "newest_picture"})
"""Somebody waits for these, a question say."""
FIGURES_EVERY = 16
"""Figures go along with news, and with every so manieth request: how much was decoded changes with every picture."""


class ServedCamera:
    """One camera of this worker. `receive` and `serve` raise `EOFError` or `OSError` once it has gone."""

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self._channel = channel
        self._tokenizer: LocalTokenizer | None = None
        self._told = TokenizerFigures()
        self._num_requests = 0

    def receive(self) -> Request | TokenizingSettings:
        message: Request | TokenizingSettings = self._channel.receive()
        return message

    def serve(self, message: Request | TokenizingSettings) -> None:
        if isinstance(message, TokenizingSettings):
            self._tokenizer = LocalTokenizer(message)
            self._channel.send(Reply())
            return
        assert self._tokenizer is not None, "worker: expected settings first"
        self._channel.send(self._answer(self._tokenizer, message))

    def close(self) -> None:
        self._channel.close()

    def _answer(self, tokenizer: LocalTokenizer, request: Request) -> Reply:
        try:
            if request.method == "push":
                result: Any = _push(tokenizer, *request.arguments)
            else:
                result = getattr(tokenizer, request.method)(*request.arguments)
        except Exception:  # noqa: BLE001  a barrier: the request fails alone
            return Reply(fault=traceback.format_exc())
        return Reply(result, self._news(tokenizer.figures))

    def _news(self, figures: TokenizerFigures) -> TokenizerFigures | None:
        self._num_requests += 1
        if self._num_requests % FIGURES_EVERY and not figures.is_news(self._told):
            return None
        self._told = figures
        return figures


class Worker:
    """Serves its owner until that ends: cameras in the order in which they ask, those that somebody looks at first."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._cameras: dict[int, ServedCamera] = {}
        self._waiting: deque[tuple[int, Request | TokenizingSettings]] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(owner, selectors.EVENT_READ)

    def run(self) -> None:
        self._serving = Serving.take(self._owner)
        self._owner.sendall(READY)
        while self._hear():
            descriptor, message = self._waiting.popleft()
            if (camera := self._cameras.get(descriptor)) is not None:
                self._serving.camera = camera.number
                try:
                    camera.serve(message)
                except (EOFError, OSError):
                    self._remove(descriptor, camera)
                self._serving.camera = NOBODY

    def _hear(self) -> bool:
        """All that was said; waits for something where nothing waits. False once the owner has gone."""
        is_first = True
        while is_first or not self._waiting:
            for key, _ in self._selector.select(0 if self._waiting else None):
                if (camera := self._cameras.get(key.fd)) is not None:
                    self._receive(key.fd, camera)
                elif key.fileobj is self._owner and not self._add():
                    return False
            is_first = False
        return True

    def _receive(self, descriptor: int, camera: ServedCamera) -> None:
        self._serving.camera = camera.number
        try:
            message = camera.receive()
        except (EOFError, OSError):
            self._remove(descriptor, camera)
            return
        finally:
            self._serving.camera = NOBODY
        is_look = isinstance(message, Request) and message.method in LOOKS
        (self._waiting.appendleft if is_look else self._waiting.append)((descriptor, message))

    def _remove(self, descriptor: int, camera: ServedCamera) -> None:
        self._selector.unregister(descriptor)
        del self._cameras[descriptor]
        self._waiting = deque(each for each in self._waiting if each[0] != descriptor)
        camera.close()

    def _add(self) -> bool:
        """One more camera; False once the owner has gone."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._owner, NUMBER.size, 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not message:
            return False
        [descriptor] = descriptors
        [number] = NUMBER.unpack(message)
        self._cameras[descriptor] = ServedCamera(number, Channel(socket.socket(fileno=descriptor)))
        self._selector.register(descriptor, selectors.EVENT_READ)
        return True


def _push(tokenizer: LocalTokenizer, packets: Sequence[Widened]) -> Tokenized:
    """Each packet behind a barrier of its own."""
    groups: list[CanvasGroup] = []
    changes: list[Change] = []
    skipped: list[SkippedPacket] = []
    for packet in packets:
        try:
            done = tokenizer.push([packet])
        except Exception as error:  # noqa: BLE001  the barrier between cameras: whoever counts it tells it
            skipped.append(SkippedPacket(type(error).__name__, traceback.format_exc()))
            continue
        groups += done.groups
        changes += done.changes
    return Tokenized(groups, changes, skipped)


def serve(descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as owner:
        try:
            Worker(owner).run()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the owner has gone


if __name__ == "__main__":
    warm_up()
    run(sys.argv[1:], serve)
