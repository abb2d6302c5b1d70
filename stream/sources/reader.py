"""One camera's reader: a process that opens and reads, so that whatever hangs or crashes in it can be ended.

Run by `readerprocess.py`: `python -m stream.sources.reader FD`. In: orders (a URL and the keyword arguments of `open_source`) over the
socket FD; the URL, with its password, is on no command line. Out, over the same: `Opened`, then `Sample`s and `Skipped`, then `Ended`;
or `Failed`. It ends when the other side of the socket does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import Counter
from multiprocessing.connection import Connection

from stream.errors import CodecError, SourceError
from stream.sources.orders import QUIT, STOP, Ended, Failed, Opened, Order, Skipped
from stream.sources.source import open_source


class Reader:
    """Serves the orders of one socket."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (order := self._orders.get()) is not None:
            self._serve(order)

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

    def _serve(self, order: Order) -> None:
        try:
            self._read(order)
        except (SourceError, CodecError) as error:
            self._pipe.send(Failed(type(error).__name__, str(error)))
        else:
            self._pipe.send(Ended())

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


def main() -> None:
    pipe: Connection = Connection(int(sys.argv[1]))
    try:
        Reader(pipe).run()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the owner has gone


if __name__ == "__main__":
    main()
