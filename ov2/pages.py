"""Pages of keys and values: the memory of every session on one device.

In: keys and values of new tokens. Out: page numbers, which segments own and branches share by reference count. A slot is
written once while its page is held; a page comes back when nobody holds it. Safe to release from any thread.

Shape letters: N pages, Z slots of a page, K key and value heads, D head size, T new tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import torch
from ov2_kernels import Scales, quantise_kv
from torch import Tensor

from ov2.config import TextConfig
from ov2.errors import PagesError, PoolError

QUANTISED = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
"""Names of the types that keep a number in one byte, with a scale per token and head."""


class PagePool:
    """A fixed number of pages, each with room for `page_tokens` tokens in every layer.

    `dtype` is the model's, or int8 or float8_e4m3fn: half the memory of a 16-bit pool, and a little less exact. `poison` is for tests:
    free pages hold NaN, so that reading one shows in every result, and writing a slot twice fails.
    """

    def __init__(
        self,
        config: TextConfig,
        *,
        num_pages: int,
        page_tokens: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        poison: bool = False,
    ) -> None:
        shape = (num_pages, page_tokens, config.num_key_value_heads, config.head_dim)
        self.num_pages, self.page_tokens = num_pages, page_tokens
        self.k_NZKD = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
        self.v_NZKD = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
        self._scales: list[Scales] = []
        if dtype in QUANTISED.values():
            one = torch.empty(shape[:-1], dtype=torch.float32, device=device)
            self._scales = [(torch.empty_like(one), torch.empty_like(one)) for _ in range(config.num_hidden_layers)]
        self._free = list(range(num_pages - 1, -1, -1))  # the page freed last is taken first: few pages are ever touched
        self._holders = [0] * num_pages
        self._lock = threading.RLock()  # an abandoned answer may be collected in the middle of any call
        self._poison = poison
        self._written = [torch.zeros(num_pages * page_tokens, dtype=torch.bool) for _ in self.k_NZKD] if poison else []
        if poison:
            self._wipe(range(num_pages))

    @property
    def num_used(self) -> int:
        """Pages that somebody holds."""
        return self.num_pages - len(self._free)

    def take(self, count: int) -> tuple[int, ...]:
        """Pages for new tokens, held once. Raises `PagesError` when too few are free."""
        with self._lock:
            if count > len(self._free):
                raise PagesError(
                    f"pages: expected {count} free, got {len(self._free)} of {self.num_pages}; "
                    f"close answers that nobody reads, or set num_pages higher"
                )
            pages = tuple(self._free.pop() for _ in range(count))
            for page in pages:
                self._holders[page] = 1
        return pages

    def share(self, pages: Iterable[int]) -> None:
        """Hold pages once more."""
        with self._lock:
            for page in pages:
                if self._holders[page] < 1:
                    raise PoolError(f"page {page}: expected a holder, got none")
                self._holders[page] += 1

    def release(self, pages: Iterable[int]) -> None:
        """Hold pages once less; those that nobody holds are free again."""
        with self._lock:
            freed = []
            for page in pages:
                if self._holders[page] < 1:
                    raise PoolError(f"page {page}: released more often than held")
                self._holders[page] -= 1
                if not self._holders[page]:
                    freed.append(page)
            if self._poison:
                self._wipe(freed)
            self._free.extend(freed)

    def write(self, layer: int, slots_T: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> None:
        """Keys and values of new tokens of one layer, at slots of the flattened pool."""
        if self._poison:
            if self._written[layer][slots_T].any():
                raise PoolError("pages: a slot was written twice")
            self._written[layer][slots_T] = True
        for pool_NZKD, which, x_TKD in ((self.k_NZKD[layer], 0, k_TKD), (self.v_NZKD[layer], 1, v_TKD)):
            if self._scales:
                x_TKD, scale_TK = quantise_kv(x_TKD, pool_NZKD.dtype)
                self._scales[layer][which].flatten(0, 1)[slots_T] = scale_TK
            pool_NZKD.flatten(0, 1)[slots_T] = x_TKD

    def layer(self, layer: int) -> tuple[Tensor, Tensor, Scales | None]:
        """Keys, values and, of a quantised pool, their scales."""
        return self.k_NZKD[layer], self.v_NZKD[layer], self._scales[layer] if self._scales else None

    def forget(self, slots: Iterable[int]) -> None:
        """What was written there is not used: the slots may be written again, as a poisoned pool has to know."""
        index = torch.tensor(list(slots), dtype=torch.long)
        for written in self._written:
            written[index] = False

    def reconcile(self, held: Mapping[int, int]) -> int:
        """Compare with who is known to hold pages, and take back what nobody does: returns how many holds that were. Raises `PoolError` when
        a page has fewer holders than are known: somebody else may have written over it."""
        with self._lock:
            free, num_lost = set(self._free), 0
            for page, count in enumerate(self._holders):
                known = held.get(page, 0)
                if count < known or (page in free) != (count == 0):
                    raise PoolError(f"page {page}: expected {known} holders, got {count}{', and it is free' * (page in free)}")
                num_lost += count - known
                self.release([page] * (count - known))
            if len(self._free) != len(set(self._free)):
                raise PoolError("pages: expected each to be free once, got one that is free twice")
        return num_lost

    def reset(self) -> None:
        """All pages are free, whoever held them."""
        with self._lock:
            self._free = list(range(self.num_pages - 1, -1, -1))
            self._holders = [0] * self.num_pages
            if self._poison:
                self._wipe(range(self.num_pages))

    def _wipe(self, pages: Iterable[int]) -> None:
        index = torch.tensor(list(pages), dtype=torch.long)
        for layer, written in enumerate(self._written):
            self.k_NZKD[layer][index] = torch.nan
            self.v_NZKD[layer][index] = torch.nan
            written.view(self.num_pages, -1)[index] = False
