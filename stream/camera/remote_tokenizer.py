"""A camera's tokenizer that runs in a worker, as its pipeline sees it.

In: the same calls as `LocalTokenizer` has. Out: the same results, by way of the worker's process. A worker that dies costs what is open: its
group, the packets on their way, the event under way; then another tokenizer begins, whose groups are counted on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ov2.canvas import CanvasGroup
from stream.camera.tokenizing import CameraTokenizer, LocalTokenizer, Tokenized, TokenizerFigures, TokenizingSettings, Widened
from stream.camera.worker_messages import Reply, Request
from stream.camera.worker_process import WorkerLink, WorkerProcess
from stream.config.sections import CameraSettings, IngestSettings
from stream.events.boundary_settings import BoundarySettings
from stream.events.event import Change
from stream.tokenizer.settings import TokenizerSettings

LOST = "worker"
"""Reason of packets that were with a worker when it ended, or that came while there was none."""


class RemoteTokenizer:
    """A `CameraTokenizer`. Calls wait for the worker."""

    batch_packets = 16

    def __init__(self, settings: TokenizingSettings, worker: WorkerProcess) -> None:
        self._settings = settings
        self._worker = worker
        self._link: WorkerLink | None = None
        self._num_links = 0
        self._has_ended = False
        self._figures = self._before = TokenizerFigures()
        self._told: Change | None = None
        self._untold: list[Change] = []

    @property
    def settings(self) -> TokenizerSettings:
        return self._settings.tokenizer

    @property
    def figures(self) -> TokenizerFigures:
        return self._figures

    def began_anew(self) -> bool:
        if self._link is not None or self._has_ended or not self._connect():
            return False
        self._num_links += 1
        return self._num_links > 1

    def push(self, packets: Sequence[Widened]) -> Tokenized:
        reply = self._ask("push", packets)
        if reply is None:
            self._count_lost(len(packets))
        return self._tokenized(reply)

    def flush(self) -> Tokenized:
        return self._tokenized(self._ask("flush"))

    def calm(self) -> Tokenized:
        return self._tokenized(self._ask("calm"))

    def peek(self) -> CanvasGroup | None:
        reply = self._ask("peek")
        group: CanvasGroup | None = reply.result if reply is not None else None
        return self._counted_on(group) if group is not None else None

    def newest_picture(self, longest_side: int) -> np.ndarray | None:
        reply = self._ask("newest_picture", longest_side)
        picture: np.ndarray | None = reply.result if reply is not None else None
        return picture

    def end(self) -> None:
        self._has_ended = True
        if (link := self._link) is not None:
            link.channel.end()

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.channel.close()

    def _connect(self) -> bool:
        """To the worker, which makes a tokenizer."""
        self._link = self._worker.link()
        if self._link is None:
            return False
        try:
            self._link.channel.send(self._settings)
            self._link.channel.receive()
        except (OSError, EOFError) as error:
            self._lose(self._link, error)
        return self._link is not None

    def _ask(self, method: str, *arguments: Any) -> Reply | None:
        """None where there is no worker, or no longer."""
        link = self._link
        if link is None:
            return None
        try:
            link.channel.send(Request(method, arguments))
            reply: Reply = link.channel.receive()
            self._worker.heard_s = time.monotonic()
        except (OSError, EOFError) as error:
            self._lose(link, error)
            return None
        if reply.fault:
            raise RuntimeError(f"in the worker:\n{reply.fault}")
        if reply.figures is not None:
            self._figures = reply.figures.after(self._before)
        return reply

    def _lose(self, link: WorkerLink, error: Exception) -> None:
        self._link, self._before = None, self._figures
        if self._has_ended:
            link.channel.close()
        else:
            self._worker = self._worker.lost(link, error, self._settings.name)
        if self._told is not None and self._told.type != "end":
            after = self._told.after
            self._untold.append(Change("end", after, replace(after, end_time=after.frame_time)))
        self._told = None

    def _count_lost(self, num: int) -> None:
        self._before = replace(self._before, dropped=self._before.dropped + Counter({LOST: num}))
        self._figures = replace(self._figures, dropped=self._figures.dropped + Counter({LOST: num}))

    def _tokenized(self, reply: Reply | None) -> Tokenized:
        """With what a worker that died left untold."""
        done: Tokenized = reply.result if reply is not None else Tokenized([], [])
        if done.changes:
            self._told = done.changes[-1]
        changes, self._untold = [*self._untold, *done.changes], []
        return Tokenized([self._counted_on(group) for group in done.groups], changes, done.skipped)

    def _counted_on(self, group: CanvasGroup) -> CanvasGroup:
        num_before = self._before.num_groups
        return replace(group, group_id=group.group_id + num_before) if num_before else group


def tokenizer_of(
    name: str, settings: CameraSettings, tokenizing: TokenizerSettings, ingest: IngestSettings, worker: WorkerProcess | None
) -> CameraTokenizer:
    """A camera's of the service: in its worker, or in this process where there is none."""
    alert = settings.boundary
    boundary = BoundarySettings(onset=alert.onset, calm_s=alert.calm_s, refractory_s=alert.refractory_s)
    made = TokenizingSettings(
        name=name,
        tokenizer=tokenizing,
        boundary=boundary if alert.enabled else None,
        max_picture_px=ingest.max_picture_px,
        catch_up_s=ingest.catch_up_s,
    )
    return RemoteTokenizer(made, worker) if worker is not None else LocalTokenizer(made)
