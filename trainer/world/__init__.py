"""A generated camera world: a yard in front of a house, seen by a fixed camera, with exact truth.

`World` tells a seed's story, `Renderer` draws it, `write_file` and `publish` make a camera of it, `questions_at` asks about it.
"""

from trainer.world.camera import CAMERAS, CameraProfile, camera_profile
from trainer.world.camera_process import CameraProcess
from trainer.world.errors import CameraError, PublishError, SeedError, TimeError, WorldError
from trainer.world.event import WorldEvent
from trainer.world.jumping import jump_film
from trainer.world.language import all_sentences, caption
from trainer.world.publisher import Published, publish
from trainer.world.question import Question, check, seconds_off
from trainer.world.questions import questions_at
from trainer.world.render import Renderer
from trainer.world.seeds import TEST_SEEDS, TRAIN_SEEDS, split_of
from trainer.world.state import ActorState, WorldState
from trainer.world.world import Scene, World
from trainer.world.writer import write_file

__all__ = [
    "CAMERAS",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "ActorState",
    "CameraError",
    "CameraProcess",
    "CameraProfile",
    "PublishError",
    "Published",
    "Question",
    "Renderer",
    "Scene",
    "SeedError",
    "TimeError",
    "World",
    "WorldError",
    "WorldEvent",
    "WorldState",
    "all_sentences",
    "camera_profile",
    "caption",
    "check",
    "jump_film",
    "publish",
    "questions_at",
    "seconds_off",
    "split_of",
    "write_file",
]
