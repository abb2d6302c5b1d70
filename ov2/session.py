"""A rolling session of one camera: groups come in, the oldest go out, questions are asked on branches.

In: groups of canvases, questions. Out: answers. It is one stream of the engine's scheduler, stepped by the caller: what it answers is
what the service would, with no thread. The reference is exact: a session equals the model run once over all its tokens, where each
token sees the earlier ones whose segment was still in the window when it was written.
"""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Unpack

from ov2.canvas import CanvasGroup
from ov2.engine.scheduler import Scheduler
from ov2.engine.settings import EngineSettings
from ov2.engine.stepper import Stepper
from ov2.engine.stream import Reply, Stream
from ov2.engine.work import PendingGroup
from ov2.errors import SessionError
from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.sampling import SamplingOptions
from ov2.segment import EncodedGroup
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer


class Session:
    """Segments: the system text, then groups in order of time. Owned by one thread; close it to give its pages back.

    `text` defaults to the tokenizer of the model's folder, `pool` to one of its own. `limits` are the settings in force;
    `num_renewals` and `num_dropped` (groups that left the window) count what happened.
    """

    def __init__(
        self,
        model: OV2Model,
        settings: SessionSettings | None = None,
        text: TextTokenizer | None = None,
        pool: PagePool | None = None,
    ) -> None:
        text, settings = model.tokenizer(text), settings or SessionSettings()
        self.limits = settings.resolve(max_positions=model.max_positions, max_timestamp_s=model.max_timestamp_s)
        if pool is not None and pool.page_tokens != self.limits.page_tokens:
            raise SessionError(
                f"pool: expected pages of {self.limits.page_tokens} tokens, got {pool.page_tokens}; set page_tokens"
            )
        self.pool = pool or PagePool(
            model.config.text,
            num_pages=self.limits.num_pages,
            page_tokens=self.limits.page_tokens,
            dtype=model.dtype,
            device=model.device,
        )
        # a graph is worth its capture only to an engine that lives long
        engine = EngineSettings(session=settings, cuda_graphs=False)
        self._scheduler = Scheduler(model, text, engine, pool=self.pool)
        self._stepper = Stepper(self._scheduler)
        self._state = self._scheduler.open("session")
        self._stream = Stream(self._stepper, self._scheduler, text, self._state)

    @property
    def num_renewals(self) -> int:
        return self._state.window.num_renewals

    @property
    def num_dropped(self) -> int:
        return self._state.window.num_dropped

    @property
    def num_tokens(self) -> int:
        """Tokens in the window, the system text included."""
        return self._state.window.num_tokens

    @property
    def num_positions(self) -> int:
        """Positions used since the last renewal: the next token's position."""
        return self._state.window.num_positions

    @property
    def zero_s(self) -> float:
        """Media seconds of timestamp zero: the start of the oldest group at the last renewal (0 before the first group)."""
        return self._state.window.zero_s

    @property
    def groups(self) -> tuple[EncodedGroup, ...]:
        """Groups in the window, oldest first."""
        return self._state.window.groups

    @property
    def window(self) -> tuple[float, float] | None:
        """Media seconds (start, end) in the window; None before the first group."""
        return self._state.window.span_s

    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Run the vision tower over one group."""
        return self._stream.encode(group)

    def append(self, group: CanvasGroup) -> None:
        """Take a closed group in; the oldest leave when the window is full, and the session is renewed when a trained limit comes
        near. Raises `SessionError` when the group is larger than the window or older than the last one."""
        self._append(PendingGroup(group=group, future=Future()))

    def append_encoded(self, group: EncodedGroup) -> None:
        """`append` for a group that went through `encode` already."""
        self._append(PendingGroup(group=group, encoded=group, future=Future()))

    def ask(
        self,
        question: str,
        peek: CanvasGroup | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Reply:
        """Ask on a branch that sees the window as it is now, the still-open group `peek`, and the question; the session stays as it is.
        `options`: fields of `Sampling`.

        Raises `PromptError` when the question is empty, or does not fit beside the window with peek and answer.
        """
        self._require_open()
        reply = self._stream.ask(question, peek=peek, **options)
        reply.begin()
        return reply

    def branch(self) -> KVSequence:
        """A bare branch, for callers that read hidden states instead of text. Close it."""
        self._require_open()
        return self._state.window.context.fork()

    def renew(self) -> None:
        """Write the window again from position zero, timestamps counted from the start of its oldest group."""
        self._require_open()
        renewed: Future[None] = Future()
        self._scheduler.renew(self._state, renewed)
        self._stepper.wait(renewed)

    def close(self) -> None:
        """Give the window's pages back. Closing twice is fine; answers under way go on."""
        self._state.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _append(self, pending: PendingGroup) -> None:
        self._require_open()
        self._scheduler.append(self._state, pending)
        self._stepper.wait(pending.future)
        self._stepper.settle(self._state)

    def _require_open(self) -> None:
        if self._state.closed:
            raise SessionError("session: expected an open session, got a closed one")
