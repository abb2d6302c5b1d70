"""Files that hold a secret: only the user that runs the service may read them, from their first moment.

In: a path, text. Out: the file with mode 0600, in one step: nobody sees a part of it, or it with another mode.
"""

from __future__ import annotations

import os
from pathlib import Path

MODE = 0o600


def write_private(path: Path, text: str) -> None:
    """Raises `OSError`."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # of somebody who was killed here, and with who knows what mode
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
