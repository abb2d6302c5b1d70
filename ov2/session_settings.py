"""Limits of a session: what the user sets, and what follows from the model.

In: settings with unset values, and a model's trained limits. Out: settings with every value set and checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from ov2.errors import SessionError

WINDOW_TOKENS = 4096
BRANCH_TOKENS = 2048
PAGES_PER_WINDOW = 3
"""The window, its copy during a renewal, and as much again for pages that branches still hold after the window moved on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Limits of a session. What is None follows from the model.

    - `window_tokens`: tokens kept, the system text included; default 4096, or two thirds of the positions left beside
      `branch_tokens` if that is less. `window_s`: stream time kept; default two thirds of `max_timestamp_s`.
    - `branch_tokens`: positions left free for a branch (peek, question, answer); default 2048, or a quarter of the positions.
    - `recall_tokens`: positions left free behind the system text, where a branch may put older groups; default none.
    - `max_positions`, `max_timestamp_s`: the trained limits, which renewal keeps; default the model's.
    - `renew_s`: stream time after which the session is renewed in any case; default never.
    - `page_tokens`: tokens of a page. `num_pages`: pages of the session's own pool; default enough for three windows and
      eight branches.
    """

    window_tokens: int | None = None
    window_s: float | None = None
    branch_tokens: int | None = None
    recall_tokens: int = 0
    max_positions: int | None = None
    max_timestamp_s: float | None = None
    renew_s: float | None = None
    page_tokens: int = 32
    num_pages: int | None = None

    def resolve(self, *, max_positions: int, max_timestamp_s: float) -> Limits:
        """Every value, from a model's trained limits. Raises `SessionError` when they do not fit together."""
        positions = max_positions if self.max_positions is None else self.max_positions
        timestamp_s = max_timestamp_s if self.max_timestamp_s is None else self.max_timestamp_s
        branch = min(BRANCH_TOKENS, positions // 4) if self.branch_tokens is None else self.branch_tokens
        window = (
            min(WINDOW_TOKENS, (positions - branch - self.recall_tokens) * 2 // 3)
            if self.window_tokens is None
            else self.window_tokens
        )
        window_s = timestamp_s * 2 / 3 if self.window_s is None else self.window_s
        _require("page_tokens", self.page_tokens, above=0)
        for name, value in (("window_tokens", window), ("branch_tokens", branch), ("window_s", window_s)):
            _require(name, value, above=0)
        if self.recall_tokens < 0 or window + branch + self.recall_tokens > positions:
            raise SessionError(
                f"session: expected window_tokens + branch_tokens + recall_tokens to be at most max_positions, "
                f"got {window} + {branch} + {self.recall_tokens} over {positions}"
            )
        if window_s > timestamp_s:
            raise SessionError(f"session: expected window_s at most max_timestamp_s {timestamp_s}, got {window_s}")
        window_pages = 3 * window // (2 * self.page_tokens) + 2  # half a page of every segment may stand empty
        branch_pages = branch // self.page_tokens + 1
        pages = PAGES_PER_WINDOW * window_pages + 8 * branch_pages if self.num_pages is None else self.num_pages
        return Limits(
            window_tokens=window,
            window_s=window_s,
            window_pages=window_pages,
            branch_tokens=branch,
            recall_tokens=self.recall_tokens,
            max_positions=positions,
            max_timestamp_s=timestamp_s,
            renew_s=float("inf") if self.renew_s is None else self.renew_s,
            page_tokens=self.page_tokens,
            num_pages=pages,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings in force. `window_pages`: pages that the window may hold, however small its groups are."""

    window_tokens: int
    window_s: float
    window_pages: int
    branch_tokens: int
    recall_tokens: int
    max_positions: int
    max_timestamp_s: float
    renew_s: float
    page_tokens: int
    num_pages: int


def _require(name: str, value: float, *, above: float) -> None:
    if not value > above:
        raise SessionError(f"session: expected {name} above {above}, got {value}")
