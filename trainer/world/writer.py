"""Writes a world into a video file, as a camera would have recorded it. In: a world. Out: an mp4 or mkv file of H.264."""

from __future__ import annotations

from pathlib import Path

from trainer.world.camera import camera_profile
from trainer.world.encode import add_video, encoded, num_frames
from trainer.world.errors import CameraError, TimeError
from trainer.world.render import Renderer
from trainer.world.world import World

SUFFIXES = (".mp4", ".mkv")


def write_file(
    world: World,
    path: str | Path,
    *,
    width: int = 640,
    height: int = 360,
    fps: int = 10,
    camera: str = "default",
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Path:
    """Write `duration_s` seconds of the world (default: to its end) from `start_s`. Picture k is at k/fps in the file and shows
    the moment start_s + k/fps. Raises CameraError for an unknown camera or suffix, TimeError for a stretch the world lacks."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise CameraError(f"path: expected a name that ends in {' or '.join(SUFFIXES)}, got {path.name!r}")
    profile = camera_profile(camera)
    duration_s = world.duration_s - start_s if duration_s is None else duration_s
    if start_s < 0 or duration_s <= 0 or start_s + duration_s > world.duration_s + 1e-9:
        raise TimeError(
            f"expected a stretch of 0 to {world.duration_s} s, got {duration_s} s from {start_s} s; make a longer world"
        )
    write_pictures(
        Renderer(world, width=width, height=height),
        path,
        profile_name=profile.name,
        fps=fps,
        start_s=start_s,
        duration_s=duration_s,
    )
    return path


def write_pictures(renderer: Renderer, path: Path, *, profile_name: str, fps: int, start_s: float, duration_s: float) -> None:
    """The loop of `write_file`, with a renderer at hand (it may be used for several stretches of one world)."""
    import av

    with av.open(str(path), "w", format="mp4" if path.suffix == ".mp4" else "matroska") as container:
        profile = camera_profile(profile_name)
        stream = add_video(container, profile, width=renderer.width, height=renderer.height, fps=fps)
        times_s = (start_s + k / fps for k in range(num_frames(duration_s, fps)))
        for packets in encoded(stream, renderer, times_s, fps=fps):
            for packet in packets:
                container.mux(packet)
