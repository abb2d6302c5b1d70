"""A worker: a process that tokenizes the packets of several cameras in one thread, where no interpreter's lock is fought over.

Forked from a template, or run by `workers.py`: `python -m stream.camera.worker FD`. In, over the socket FD: the socket of a camera; over that,
its `TokenizingSettings`, then requests. Out: over FD a byte once it is ready; over a camera's socket one `Reply` to each of these, and nothing
more is said over it before that. It ends when the other end of FD does.
"""

from __future__ import annotations

import selectors
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from ov2.canvas import CanvasGroup
from stream.camera.tokenizing import (
    LocalTokenizer,
    SkippedPacket,
    Tokenized,
    TokenizerFigures,
    TokenizingSettings,
    Widened,
    warm_up,
)
from stream.camera.worker_messages import NEW_CAMERA, READY, Reply, Request
from stream.events.event import Change
from stream.sources.channel import Channel
from stream.sources.template import run

FIGURES_EVERY = 16
"""Figures go along with news, and with every so manieth request: how much was decoded changes with every picture."""


class ServedCamera:
    """One camera of this worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tokenizer: LocalTokenizer | None = None
        self._told = TokenizerFigures()
        self._num_requests = 0

    def serve(self) -> None:
        """Whatever comes next. Raises `EOFError` or `OSError` once the camera has gone."""
        message: TokenizingSettings | Request = self._channel.receive()
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
    """Serves its owner until that ends."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._cameras: dict[int, ServedCamera] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(owner, selectors.EVENT_READ)

    def run(self) -> None:
        self._owner.sendall(READY)
        while True:
            for key, _ in self._selector.select():
                if (camera := self._cameras.get(key.fd)) is not None:
                    self._serve(key.fd, camera)
                elif not self._add():
                    return

    def _serve(self, descriptor: int, camera: ServedCamera) -> None:
        try:
            camera.serve()
        except (EOFError, OSError):
            self._selector.unregister(descriptor)
            del self._cameras[descriptor]
            camera.close()

    def _add(self) -> bool:
        """One more camera; False once the owner has gone."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._owner, len(NEW_CAMERA), 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not message:
            return False
        [descriptor] = descriptors
        self._cameras[descriptor] = ServedCamera(Channel(socket.socket(fileno=descriptor)))
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
        except (BrokenPipeError, ConnectionResetError):
            return  # the owner has gone


if __name__ == "__main__":
    warm_up()
    run(sys.argv[1:], serve)
