"""Where the service may keep things: never among the system's files, nor among somebody else's.

In: paths of the configuration. Out: the same, or a refusal. What a path says is checked when the file is read (`kept_folder`, `data_folder`),
what lies there when the service starts (`check_folders`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from stream.errors import FolderTakenError, SettingsError
from stream.folder_lock import FolderLock
from stream.packetlog.segments import is_of_a_log

LOCK_NAME = "service.lock"
OWN_NAMES = ("clips", "memory", "snapshots")
"""Folders in the data folder that are not for recordings."""
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr", "System", "Library")
"""With all that is in them."""
_SHARED_MEMORY = Path("/dev/shm")
_OF_ALL = ("/", "/home", "/media", "/mnt", "/opt", "/private", "/root", "/run", "/srv", "/tmp", "/Users", "/var")
_OF_ALL_DEEPER = ("/var/cache", "/var/lib", "/var/log", "/var/run", "/var/tmp")
"""Not themselves; what is in them may be ours."""


def data_folder(path: Path) -> Path:
    """Raises `ValueError` for a folder of the system's."""
    plain = Path(os.path.normpath(path))
    if not plain.is_absolute() or plain.is_relative_to(_SHARED_MEMORY):
        return path
    if str(plain) in _OF_ALL + _OF_ALL_DEEPER or plain.parts[1] in _SYSTEM:
        raise ValueError("expected a folder of the service's own, got one of the system's")
    return path


def kept_folder(path: Path) -> Path:
    """The same for one that is in the data folder where it is relative. Raises `ValueError` where it leads out of it, or is the data folder."""
    plain = Path(os.path.normpath(path))
    if not plain.is_absolute() and (plain == Path() or plain.parts[0] == ".."):
        raise ValueError("expected a folder in the data folder, or an absolute path, got one that is not in it")
    return data_folder(path)


def recording_folder(path: Path) -> Path:
    """The same for recordings. Raises `ValueError`."""
    plain = Path(os.path.normpath(path))
    if plain.parts[:1] and plain.parts[0] in OWN_NAMES:
        raise ValueError(f"expected a folder for recordings alone, got one for {plain.parts[0]}; name it otherwise")
    return kept_folder(path)


def check_apart(folders: Mapping[str, Path]) -> None:
    """Raises `SettingsError` where two settings name one folder."""
    owners: dict[str, str] = {}
    for setting, folder in folders.items():
        first = owners.setdefault(os.path.normpath(folder), setting)
        if first != setting:
            raise SettingsError(f"{setting}: expected a folder of its own, got that of {first}")


def check_recordings(folders: Mapping[str, Path], data: Path) -> None:
    """What lies there, links followed. Raises `SettingsError` where it is the data folder, or holds files but no recording."""
    real = {setting: folder.resolve() for setting, folder in folders.items()}
    check_apart({"data": data.resolve(), **real})
    for setting, folder in real.items():
        try:
            data_folder(folder)
            names = os.listdir(folder)
        except FileNotFoundError:
            continue  # it is made
        except ValueError as error:
            raise SettingsError(f"{setting}: {error}") from None
        except OSError as error:
            raise SettingsError(f"{setting}: expected a folder that can be read, got: {error.strerror}") from None
        if names and not any(map(is_of_a_log, names)):
            raise SettingsError(
                f"{setting}: expected an empty folder or one with a recording, got one with other files; name another"
            )


def lock_data(data: Path) -> FolderLock:
    """What one service holds of its data folder while it runs. Raises `SettingsError` when another has it, or it cannot be written."""
    try:
        return FolderLock(data / LOCK_NAME)
    except FolderTakenError as error:
        raise SettingsError(f"data: expected a folder of its own, {error} serves from {data}; stop it, or set data") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a path that cannot be"
        raise SettingsError(f"data: expected a folder that can be written and locked at {data}, got: {why}") from None
