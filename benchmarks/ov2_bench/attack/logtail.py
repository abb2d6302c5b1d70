"""What the service's log says that it should not: tracebacks, with their text.

In: a growing file. Out: texts of the tracebacks that came since the last look.
"""

from __future__ import annotations

from pathlib import Path

FIRST = "Traceback (most recent call last)"
LONGEST = 4000


class LogTail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = ""

    def tracebacks(self) -> list[str]:
        """Each from its first line to the exception's. One that is not whole yet comes next time."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            fresh = file.read()
            self._offset += len(fresh)
        text = self._rest + fresh.decode("utf-8", "replace")
        self._rest, found = "", []
        while (at := text.find(FIRST)) >= 0:
            begin = text.rfind("\n", 0, at) + 1
            end = _end(text, text.find("\n", at))
            if end is None:
                self._rest = text[begin:]
                break
            found.append(text[begin:end][-LONGEST:])
            text = text[end:]
        self._rest = self._rest or text[text.rfind("\n") + 1 :]  # a line that is not whole may begin one
        return found


def _end(text: str, at: int) -> int | None:
    """Behind the first line that is not indented; None while it has not come."""
    while at >= 0:
        following = text.find("\n", at + 1)
        if following < 0:
            return None
        if text[at + 1 : at + 2] not in (" ", "\t", "\n", "|", "+"):
            return following
        at = following
    return None
