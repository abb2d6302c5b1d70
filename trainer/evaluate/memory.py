"""Questions about the past, through the live path: `ov2 eval memory`.

In: a model, test seeds, a distance in minutes. Out: a `MemoryScores`: how many answers are right when asked inside the
window, when the same is asked after so many minutes of other films, with recall by time, with recall by content, and without
recall; and how often "not seen" is said of what was not there.

A history is films of other test seeds, one after another, a few seconds of nothing between them, in a memory on disk; the
session holds the last of them. Films are tokenized once and kept (`films`), since the same ones make many hours.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from ov2.canvas import CanvasGroup
from ov2.encode import encode
from ov2.engine import Engine, EngineSettings
from ov2.engine.stream import Stream
from ov2.model import OV2Model
from stream.memory import Memory, MemorySettings, Summariser
from stream.memory.plan import Mode, Plan, plan_recall
from stream.memory.stretch import Room
from stream.memory.when import Times
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.settings import settings_from
from trainer.data.clips import CameraSpec, Clip, load_clip, make_clip, save_clip
from trainer.evaluate.answers import MAX_ANSWER_TOKENS, QUESTION_TYPES
from trainer.evaluate.sight import SUBJECTS, shows
from trainer.world import Question, World, check, questions_at
from trainer.world.language import QuestionType

FILLERS = range(990_000, 990_400)
"""Test seeds of the films between an event and the question about it."""
NUM_FILLERS = 20
NUM_LACKING = 6
"""Films that lack a subject, of which a history is made where nothing else shows it."""
PAUSE_S = 5.0
"""Between two films nothing is kept, as when a camera is away: so a stretch never holds parts of two worlds."""
WINDOW_MINUTES = 5
MOMENTS = 3
PER_MOMENT = 2
CONTENT_TYPES: tuple[QuestionType, ...] = ("colour", "where", "when", "jumps")
"""Types that may name what is looked for, and whose answer is the same however they find it."""
NOT_SEEN = "not seen"
BEGIN = 1_700_000_000.0
TRICKS = ("Where is the {it}?", "When did the {it} {come}?", "Is there a {it} in view?", "Is the {it} still there?")


@dataclass(frozen=True, slots=True)
class Remembered:
    """One question, and whether it was answered rightly each way; None where it was not asked so."""

    seed: int
    question: Question
    inside: bool
    by_time: bool
    without: bool
    by_content: bool | None


@dataclass(frozen=True, slots=True)
class MemoryScores:
    """`tricks`: whether "not seen" was said, or no to a yes or no question, by (time or content)."""

    asked: tuple[Remembered, ...]
    tricks: tuple[tuple[str, bool], ...]

    def as_json(self) -> dict[str, object]:
        """The closing object of `ov2 eval memory --json`."""
        by_content = [one for one in self.asked if one.by_content is not None]
        return {
            "inside_window": _share(one.inside for one in self.asked),
            "recalled": _share(one.by_time for one in self.asked),
            "without_recall": _share(one.without for one in self.asked),
            "not_seen_right": _share(right for _, right in self.tricks),
            "num_questions": len(self.asked),
            "num_tricks": len(self.tricks),
            "not_seen_right_by_time": _share(right for way, right in self.tricks if way == "time"),
            "not_seen_right_by_content": _share(right for way, right in self.tricks if way == "content"),
            "by_content": {
                "inside_window": _share(one.inside for one in by_content),
                "recalled": _share(one.by_content for one in by_content),
                "without_recall": _share(one.without for one in by_content),
                "num_questions": len(by_content),
            },
        }


def _share(right: Iterator[bool | None]) -> float:
    given = [bool(one) for one in right]
    return sum(given) / max(1, len(given))


@dataclass(slots=True)
class Films:
    """Tokenized films by seed, on disk, and their vision tokens in memory."""

    model: OV2Model
    folder: Path
    tokens: dict[int, list[Tensor]] = field(default_factory=dict)
    clips: dict[int, Clip] = field(default_factory=dict)

    def clip(self, seed: int) -> Clip:
        if seed not in self.clips:
            path = self.folder / f"{seed}.npz"
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                settings = settings_from(self.model.stream_settings.get("tokenizer", {}))
                save_clip(make_clip(seed, settings, CameraSpec(moment_every_s=1000.0)), path)
            self.clips[seed] = load_clip(path)
        return self.clips[seed]

    def put(self, memory: Memory, seed: int, start: float) -> float:
        """Write a film into a memory as if it began at `start`; returns when it ended."""
        clip = self.clip(seed)
        if seed not in self.tokens:
            self.tokens[seed] = [one.vision_tokens.cpu() for one in encode(self.model, clip.groups)]
        for group, tokens_VD in zip(clip.groups, self.tokens[seed], strict=True):
            memory.put(moved(group, start), num_tokens=num_llm_tokens(group), tokens=tokens_VD)
        memory.wait()
        return start + clip.groups[-1].end_s

    def lacking(self, subject: str) -> list[int]:
        """Filler seeds in whose films nothing of a subject is seen."""
        seeds = (seed for seed in FILLERS if shows(World(seed, duration_s=CameraSpec().duration_s), subject) is False)
        return [seed for seed, _ in zip(seeds, range(NUM_LACKING), strict=False)]


def moved(group: CanvasGroup, start: float) -> CanvasGroup:
    """The group at another time: its media seconds are then UTC epoch seconds."""
    return dataclasses.replace(
        group,
        runs=tuple((seconds + start, blocks) for seconds, blocks in group.runs),
        start_s=group.start_s + start,
        end_s=group.end_s + start,
        wall_s=group.end_s + start,
    )


class MemoryTest:
    """Everything that a run shares."""

    def __init__(self, model: OV2Model, films: Films, distance_min: float, folder: Path) -> None:
        self.model, self.films, self.distance_s, self.folder = model, films, 60.0 * distance_min, folder
        self.summariser = Summariser.of(model.folder, model.stream_settings.get("memory", {}))
        self.engine = Engine(model, EngineSettings(max_streams=2))
        self._lacking: dict[str, tuple[Path, float]] = {}

    def run(self, seeds: Sequence[int], done: Callable[[int], None]) -> MemoryScores:
        """Films of all seeds first, then the distance in other films; then the questions about each."""
        begins: dict[int, float] = {}
        with self._memory(self.folder / "history") as memory:
            now = BEGIN
            for seed in seeds:
                begins[seed] = now
                now = self.films.put(memory, seed, now) + PAUSE_S
            now, last = self._fill(memory, now, range(FILLERS.start, FILLERS.start + NUM_FILLERS))
            with self.engine.open("now") as stream:
                self._stream_last(stream, last)
                asked: list[Remembered] = []
                tricks: list[tuple[str, bool]] = []
                for count, seed in enumerate(seeds, 1):
                    asked += self._ask_about(seed, begins[seed], memory, stream, now)
                    tricks += self._trick(seed, begins[seed], memory, stream, now)
                    done(count)
        return MemoryScores(tuple(asked), tuple(tricks))

    def close(self) -> None:
        self.engine.close()

    def _fill(self, memory: Memory, now: float, seeds: Sequence[int]) -> tuple[float, list[tuple[int, float]]]:
        """Other films for the whole distance; returns the end, and (seed, begin) of those in the last minutes."""
        until, placed, number = now + self.distance_s, [], 0
        while now < until:
            placed.append((seeds[number % len(seeds)], now))
            now = self.films.put(memory, *placed[-1]) + PAUSE_S
            number += 1
        end = now - PAUSE_S
        return end, [(seed, start) for seed, start in placed if start > end - 60.0 * WINDOW_MINUTES]

    def _stream_last(self, stream: Stream, films: Sequence[tuple[int, float]]) -> None:
        """What the session saw: the last minutes."""
        for seed, start in films:
            for group in self.films.clip(seed).groups:
                stream.append(moved(group, start)).result()

    def _ask_about(self, seed: int, begin: float, memory: Memory, now_stream: Stream, now: float) -> list[Remembered]:
        clip, rng = self.films.clip(seed), np.random.default_rng([seed, 23])
        world = World(seed, duration_s=clip.duration_s)
        last = len(clip.groups) - 1
        moments = sorted({int(one) for one in rng.choice(np.arange(4, last), MOMENTS - 1, replace=False)} | {last})
        counts: Counter[str] = Counter()
        remembered = []
        with self.engine.open("film") as stream:
            for index, group in enumerate(clip.groups):
                stream.append(moved(group, begin)).result()
                if index not in moments:
                    continue
                at_s = min(group.end_s, world.duration_s)
                questions = _in_turn(world, at_s, counts, rng)
                if index == last:
                    questions += questions_at(world, at_s, since_s=0.0, rng=rng, num=PER_MOMENT, types=list(CONTENT_TYPES))
                for question in questions:
                    inside = self._answer(stream, question.text)
                    plan = self._plan(memory, question.text, now_stream, now, times=Times(begin, begin + at_s - 0.01))
                    content = None
                    if index == last and question.type in CONTENT_TYPES:
                        content = self._by_content(question, seed, now_stream)
                    remembered.append(
                        Remembered(
                            seed,
                            question,
                            check(question, inside),
                            check(question, self._recalled(memory, plan, now_stream)),
                            check(question, self._answer(now_stream, question.text)),
                            content,
                        )
                    )
        return remembered

    def _by_content(self, question: Question, seed: int, stream: Stream) -> bool | None:
        """Asked without a time, of a history in which only the film of the seed shows what the question names; None when it names nothing."""
        subject = _subject(question.text)
        if subject is None or shows(World(seed, duration_s=CameraSpec().duration_s), subject) is not True:
            return None
        folder, now = self._history_without(subject)
        own = self.folder / "own"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(folder, own)
        with self._memory(own) as memory:
            begin = BEGIN - 100.0
            self.films.put(memory, seed, begin)
            plan = self._plan(memory, question.text, stream, now, mode="memory")
            return check(question, self._recalled(memory, plan, stream))

    def _trick(self, seed: int, begin: float, memory: Memory, stream: Stream, now: float) -> list[tuple[str, bool]]:
        """Ask about something that the film does not show: at its time, and in a history that never shows it."""
        clip, rng = self.films.clip(seed), np.random.default_rng([seed, 29])
        world, tricks = World(seed, duration_s=clip.duration_s), []
        absent = [subject for subject in SUBJECTS if shows(world, subject) is False]
        for subject in rng.permutation(absent)[:PER_MOMENT]:
            text = TRICKS[int(rng.integers(len(TRICKS)))].format(it=subject, come="come" if subject == "dog" else "arrive")
            times = Times(begin, begin + clip.groups[-1].end_s)
            plan = self._plan(memory, text, stream, now, times=times)
            tricks.append(("time", _denies(self._recalled(memory, plan, stream))))
        if absent:
            subject = str(rng.choice(absent))
            folder, later = self._history_without(subject)
            with self._memory(folder) as other:
                text = TRICKS[int(rng.integers(2))].format(it=subject, come="come" if subject == "dog" else "arrive")
                plan = self._plan(other, text, stream, later, mode="memory")
                tricks.append(("content", _denies(self._recalled(other, plan, stream))))
        return tricks

    def _history_without(self, subject: str) -> tuple[Path, float]:
        """The distance in films that never show a subject."""
        if subject not in self._lacking:
            folder = self.folder / subject.replace(" ", "_")
            with self._memory(folder) as memory:
                now, _ = self._fill(memory, BEGIN, self.films.lacking(subject))
            self._lacking[subject] = folder, now
        return self._lacking[subject]

    def _plan(
        self, memory: Memory, text: str, stream: Stream, now: float, times: Times | None = None, mode: Mode = "auto"
    ) -> Plan:
        limits = stream.limits
        window = stream.window
        return plan_recall(
            memory,
            text,
            room=Room(num_tokens=limits.window_tokens * 3 // 4, span_s=limits.window_s),
            now=now,
            window_start=window[0] if window and mode == "auto" else now,
            times=times,
            mode=mode,
        )

    def _recalled(self, memory: Memory, plan: Plan, stream: Stream) -> str:
        if plan.not_seen:
            return NOT_SEEN
        if plan.stretch is None:
            return self._answer(stream, plan.question)
        return self._answer(stream, plan.question, memory.read(plan.stretch.rows))

    def _answer(self, stream: Stream, text: str, recalled: Sequence[CanvasGroup] = ()) -> str:
        return "".join(stream.ask(text, recalled=recalled, max_tokens=MAX_ANSWER_TOKENS)).strip()

    def _memory(self, folder: Path) -> Memory:
        settings = MemorySettings(max_age_days=36_500.0)
        return Memory(folder, settings, summariser=self.summariser)


def _in_turn(world: World, at_s: float, counts: Counter[str], rng: np.random.Generator) -> list[Question]:
    """The least asked types that have an answer at a moment."""
    found: list[Question] = []
    for name in sorted(QUESTION_TYPES, key=lambda name: (counts[name], rng.random())):
        if len(found) < PER_MOMENT:
            found += questions_at(world, at_s, since_s=0.0, rng=rng, num=1, types=[name])
    counts.update(question.type for question in found)
    return found


def _subject(text: str) -> str | None:
    named = re.search(r"person in \w+|\bcar\b|\bdog\b|\bparcel\b", text)
    return named[0] if named else None


def _denies(answer: str) -> bool:
    return answer.lower().strip(" .") in (NOT_SEEN, "no")


def remember_seeds(
    model: OV2Model, seeds: Sequence[int], distance_min: float, films: Path, done: Callable[[int], None] = lambda count: None
) -> MemoryScores:
    """Run the test; `films` is where tokenized films are kept."""
    with tempfile.TemporaryDirectory(prefix="ov2-memory-") as folder:
        test = MemoryTest(model, Films(model, films), distance_min, Path(folder))
        try:
            return test.run(seeds, done)
        finally:
            test.close()
