"""Many streams on one device: groups in, answers and margins out, for as long as it runs.

In: an `OV2Model`, groups of canvases, questions, statements. Out: pieces of text, margins, figures. Read on: `engine` (the one thread),
`stream` (what callers hold), `scheduler` (what a step does), `stream_state` (one stream inside), `prefill` (tokens on their way),
`settings`, `figures`.
"""

from ov2.engine.engine import Engine
from ov2.engine.settings import EngineSettings
from ov2.engine.stream import Reply, Stream

__all__ = ["Engine", "EngineSettings", "Reply", "Stream"]
