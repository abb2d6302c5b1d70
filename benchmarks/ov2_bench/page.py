"""A page in a terminal that is drawn again and again while something goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.live import Live


async def keep_drawn(draw: Callable[[], RenderableType], console: Console, every_s: float) -> NoReturn:
    """Until cancelled; the page is gone then."""
    with Live(draw(), console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(draw(), refresh=True)
            await asyncio.sleep(every_s)
