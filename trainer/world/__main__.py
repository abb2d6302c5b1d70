"""`python -m trainer.world`: publish a world as a camera, write it to a file, or save a picture of it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from trainer.world import CAMERAS, Renderer, Scene, World, WorldError, caption, write_file
from trainer.world import publish as publish_world
from trainer.world.activity import active_intervals, save_activity

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Seed = Annotated[int, typer.Option(help="which yard: below 500000 train, 900000 and up test")]
Fps = Annotated[int, typer.Option(min=1, max=60)]
Size = Annotated[int, typer.Option(min=16)]
Camera = Annotated[str, typer.Option(help=f"encoder preset: {', '.join(CAMERAS)}")]
Start = Annotated[float, typer.Option(help="world second to begin at")]
Seconds = Annotated[float, typer.Option(help="how long")]
Duty = Annotated[
    float | None, typer.Option(min=0, max=100, help="percent of the time that something happens; default: a busy yard")
]
Told = Annotated[Scene, typer.Option("--scene", help="a yard, or a JumpScore film: somebody jumps rope")]
Night = Annotated[bool, typer.Option("--night", help="the same yard in the dark, with a noisy sensor")]


@app.command()
def publish(
    url: Annotated[str, typer.Argument(help="a listening RTSP server, for example rtsp://127.0.0.1:8554/front")],
    seed: Seed = 900_000,
    seconds: Seconds = 60.0,
    start_s: Start = 0.0,
    fps: Fps = 10,
    width: Size = 640,
    height: Size = 360,
    camera: Camera = "default",
    duty: Duty = None,
    night: Night = False,
    connect_s: Annotated[float, typer.Option(help="how long to try to reach the server")] = 10.0,
) -> None:
    """Publish live over RTSP until the time is over, the peer closes, or a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    world = World(seed, duration_s=start_s + seconds, duty=_share(duty), night=night)
    done = publish_world(
        world, url, fps=fps, width=width, height=height, camera=camera, start_s=start_s, connect_s=connect_s, stop=stop
    )
    typer.echo(f"{done.num_frames} pictures sent{', the peer closed' if done.peer_closed else ''}")


@app.command()
def write(
    path: Annotated[Path, typer.Argument(help="an .mp4 or .mkv file")],
    seed: Seed = 900_000,
    seconds: Seconds = 60.0,
    start_s: Start = 0.0,
    fps: Fps = 10,
    width: Size = 640,
    height: Size = 360,
    camera: Camera = "default",
    duty: Duty = None,
    night: Night = False,
    scene: Told = "yard",
    truth: Annotated[
        bool, typer.Option("--truth", help="also write when something happens, beside the film, as .json")
    ] = False,
) -> None:
    """Write a video file."""
    world = World(seed, duration_s=start_s + seconds, duty=_share(duty), night=night, scene=scene)
    write_file(world, path, fps=fps, width=width, height=height, camera=camera, start_s=start_s)
    typer.echo(str(path))
    if truth:
        active = [(low - start_s, high - start_s) for low, high in active_intervals(world, start_s=start_s)]
        typer.echo(str(save_activity(path, active, duration_s=seconds, truth="the world's script")))


@app.command()
def picture(
    path: Annotated[Path, typer.Argument(help="a .png file")],
    seed: Seed = 900_000,
    at_s: Annotated[float, typer.Option(help="world second")] = 10.0,
    width: Size = 640,
    height: Size = 360,
    scene: Told = "yard",
) -> None:
    """Save one picture and say what it shows."""
    from PIL import Image

    world = World(seed, duration_s=at_s + 1.0, scene=scene)
    Image.fromarray(Renderer(world, width=width, height=height).frame(at_s)).save(path)
    typer.echo(caption(world.state_at(at_s), world.layout.door_x))


@app.command()
def story(seed: Seed = 900_000, seconds: Seconds = 60.0, scene: Told = "yard") -> None:
    """Tell what happens: seconds and sentences."""
    world = World(seed, duration_s=seconds, scene=scene)
    told = [(event.t_s, event.sentence) for event in world.events]
    told += [(t_s, "a jump starts") for t_s in world.jump_starts_s]
    for t_s, sentence in sorted(told):
        typer.echo(f"{t_s:8.2f}  {sentence}")


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def main() -> None:
    """Run the command; our own errors are one line on stderr and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app()
    except WorldError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
