"""One camera's reader: a process that opens and reads, so that whatever hangs or crashes in it can be ended.

Forked from a template, or run by `readerprocess.py`: `python -m stream.sources.reader FD`. In: orders (a URL and the keyword arguments of
`open_source`) over the socket FD; the URL, with its password, is on no command line. Out, over the same: `Opened`, then `Sample`s and
`Skipped`, then `Ended`; or `Failed`. It ends when the other side of the socket does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import Counter
from multiprocessing.connection import Connection

from stream.errors import CodecError, SourceError, TooLargeError
from stream.sources.address import Address, parse_address
from stream.sources.guard import bound_blocks, bound_memory, hear_large_units
from stream.sources.opening import out_of_memory
from stream.sources.options import OpenOptions
from stream.sources.orders import QUIT, STOP, Ended, Failed, Opened, Order, Skipped
from stream.sources.source import open_source
from stream.sources.template import run


class Reader:
    """Serves the orders of one socket."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        is_bound, goes_on = False, True
        while goes_on and (order := self._orders.get()) is not None:
            if not is_bound:  # once: every order of an owner is for the same camera
                self._bound(order)
                is_bound = True
            goes_on = self._serve(order)

    def _listen(self) -> None:
        """Whoever waits in FFmpeg hears nothing: an owner who has gone ends the process from here."""
        while True:
            try:
                order = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)
            if order in (STOP, QUIT):
                self._stopping.set()
            else:
                self._stopping.clear()
            if order != STOP:
                self._orders.put(None if order == QUIT else order)

    def _bound(self, order: Order) -> None:
        address, limits = _address(order), _options(order).limits

        def large_unit() -> None:
            """FFmpeg would throw away what it has, and begin again; only a process that ends leaves it."""
            try:
                self._tell(limits.large_unit().at(address.shown))
            finally:
                os._exit(0)

        if address.is_live:  # a file's index may be larger than any picture
            bound_blocks(limits)
        bound_memory(limits)
        hear_large_units(large_unit)

    def _serve(self, order: Order) -> bool:
        """False when the process should end, and what it holds with it."""
        try:
            self._read(order)
        except (SourceError, CodecError) as error:
            self._tell(error)
            return not isinstance(error, TooLargeError)
        except MemoryError as error:
            self._tell(out_of_memory(_address(order), _options(order), error))
            return False
        self._pipe.send(Ended())
        return True

    def _tell(self, error: SourceError | CodecError) -> None:
        self._pipe.send(Failed(type(error).__name__, str(error), error.reason if isinstance(error, TooLargeError) else ""))

    def _read(self, order: Order) -> None:
        told: Counter[str] = Counter()
        with open_source(order.url, sleep=self._stopping.wait, **order.options) as source:
            self._pipe.send(Opened(source.codec))
            for sample in source.samples():
                if self._stopping.is_set():
                    break
                if source.skipped != told:
                    told = Counter(source.skipped)
                    self._pipe.send(Skipped(dict(told)))
                self._pipe.send(sample)


def _address(order: Order) -> Address:
    return parse_address(order.url, listen=order.options.get("listen", False))


def _options(order: Order) -> OpenOptions:
    return order.options.get("options") or OpenOptions()


def read(descriptor: int) -> None:
    pipe: Connection = Connection(descriptor)
    try:
        Reader(pipe).run()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the owner has gone


if __name__ == "__main__":
    run(sys.argv[1:], read)
