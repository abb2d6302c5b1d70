"""Who gets a stream: pages are spoken for when it opens, so that none runs out of them later.

In: a name and limits. Out: a stream with an empty window.
"""

from __future__ import annotations

from ov2.engine.state import EngineState
from ov2.engine.stream_state import StreamState
from ov2.errors import CapacityError, SessionError
from ov2.kv_sequence import begin_sequence
from ov2.session_settings import Limits, SessionSettings
from ov2.window import Window


def admit(state: EngineState, name: str, settings: SessionSettings | None, max_waiting_groups: int | None) -> StreamState:
    """Raises `CapacityError` when the pages are spoken for, `SessionError` for a name in use or settings that do not fit."""
    if name in state.streams:
        raise SessionError(f"stream {name!r}: expected a name that is not in use; close the other stream first")
    model, pool = state.model, state.pool
    settings = settings or state.settings.session
    limits = settings.resolve(max_positions=model.max_positions, max_timestamp_s=model.max_timestamp_s)
    if limits.page_tokens != pool.page_tokens:
        raise SessionError(
            f"stream {name!r}: expected pages of {pool.page_tokens} tokens as the engine's, got {limits.page_tokens}; "
            f"set page_tokens for the engine"
        )
    spoken_for = sum(reserved_pages(stream.limits) for stream in state.streams.values())
    if spoken_for + reserved_pages(limits) > pool.num_pages and not state.is_pool_shared:
        raise CapacityError(
            f"stream {name!r}: at capacity: {len(state.streams)} sessions hold {spoken_for} of {pool.num_pages} pages, one more "
            f"needs {reserved_pages(limits)}; set num_pages or max_streams higher, or window_tokens lower"
        )
    context = begin_sequence(model, pool, state.text, limits)
    stream = StreamState(name, model, pool, state.text, limits, Window(limits, state.text, context))
    stream.max_waiting = max_waiting_groups or state.settings.max_waiting_groups
    state.streams[name] = stream
    return stream


def reserved_pages(limits: Limits) -> int:
    """Pages that a stream may need: its window twice, while it is renewed, and one branch."""
    return 2 * limits.window_pages + limits.branch_tokens // limits.page_tokens + 1
