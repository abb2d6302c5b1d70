"""A session equals one masked full pass over all its tokens, at every step, whatever happens in between."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_pass import MaskedPass
from repository import GOLDEN
from small_model import byte_tokenizer, made_group

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.pixels import vision_inputs
from ov2.prompt import group_tokens, question_tokens, run_tokens, system_tokens
from ov2.segment import Segment
from ov2.session import Session
from ov2.session_settings import SessionSettings

DATA = GOLDEN / "ov2_tiny"
TOLERANCE = 2e-4
TEXT = byte_tokenizer()
LIMITS = SessionSettings(
    window_tokens=360, branch_tokens=200, max_positions=900, window_s=12.0, max_timestamp_s=20.0, page_tokens=16, num_pages=160
)


@pytest.fixture(scope="module")
def model() -> OV2Model:
    return OV2Model.from_pretrained(DATA)


def open_session(model: OV2Model, limits: SessionSettings = LIMITS) -> Session:
    """A session whose free pages hold NaN, and where writing a slot twice fails."""
    pool = PagePool(model.config.text, num_pages=160, page_tokens=limits.page_tokens, poison=True)
    return Session(model, limits, TEXT, pool)


@torch.no_grad()
def check(model: OV2Model, session: Session, reference: MaskedPass, peek: CanvasGroup | None) -> None:
    """Ask on a branch, write three answer tokens one by one, and compare all logits with the full pass."""
    encoded = None if peek is None else session.encode(peek)
    zero_s = session.zero_s if session.window or encoded is None else encoded.start_s
    prompt = [] if encoded is None else run_tokens(TEXT, encoded.runs, zero_s=zero_s)
    vision = None if encoded is None else encoded.vision_tokens
    branch = session.branch()
    parts = [branch.append(prompt + question_tokens(TEXT, "What now?"), vision)]
    parts += [branch.extend([token]) for token in (70, 71, 72)]
    expected = reference.logits(branch, vision)
    branch.close()
    assert (model.head(torch.cat(parts)) - expected).abs().max() < TOLERANCE


steps = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4), st.sampled_from([(28, 28), (28, 56), (56, 56)]), st.floats(0.5, 6.0)),
    st.tuples(st.just("peek"), st.integers(1, 2), st.sampled_from([(28, 28), (28, 56)]), st.floats(0.5, 3.0)),
    st.tuples(st.just("renew")),
)


@given(schedule=st.lists(steps, min_size=1, max_size=14), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_a_session_equals_one_masked_full_pass_at_every_step(model: OV2Model, schedule: list[tuple], seed: int) -> None:
    session = open_session(model)
    reference, now_s = MaskedPass(model, session), 0.0
    for index, (kind, *details) in enumerate(schedule):
        peek = None
        if kind == "renew":
            session.renew()
        else:
            canvases, size, span_s = details
            group = made_group(index, now_s, canvases=canvases, size=size, span_s=span_s, seed=seed)
            if kind == "peek":
                peek = group
            else:
                session.append(group)
                now_s += span_s
        reference.follow()
        check(model, session, reference, peek)
        limits = session.limits
        assert session.num_tokens <= limits.window_tokens
        assert session.num_positions <= limits.max_positions - limits.branch_tokens
        assert session.window is None or session.window[1] - session.zero_s <= limits.max_timestamp_s
    session.close()
    assert session.pool.num_used == 0


def test_a_long_session_drops_renews_and_stays_equal(model: OV2Model) -> None:
    session = open_session(model)
    reference = MaskedPass(model, session)
    for index in range(40):
        session.append(made_group(index, 1.3 * index, canvases=1 + index % 3, span_s=1.3))
        reference.follow()
        if index % 4 == 3:
            check(model, session, reference, made_group(100, 1.3 * (index + 1)))
    assert session.num_renewals >= 2
    assert session.num_dropped >= 25


@torch.no_grad()
def test_after_renewal_a_session_equals_an_offline_run_over_its_window(model: OV2Model) -> None:
    session = open_session(model)
    groups = [made_group(index, 1.5 * index, span_s=1.5) for index in range(20)]
    for group in groups:
        session.append(group)
    session.renew()
    assert session.window is not None
    kept = [group for group in groups if group.start_s >= session.window[0]]
    assert 2 <= len(kept) < 20
    assert session.zero_s == kept[0].start_s
    assert session.num_positions == session.num_tokens
    tail = question_tokens(TEXT, "Who is there?")
    middle = [token for group in kept for token in group_tokens(TEXT, group, zero_s=kept[0].start_s)]
    ids = system_tokens(TEXT) + middle + tail
    inputs = [vision_inputs(group, *model.normalisation) for group in kept]
    vision = torch.cat([model.vision_tokens(one.pixel_values, one.image_grid_thw, one.patch_positions) for one in inputs])
    branch = session.branch()
    hidden = branch.append(tail)
    branch.close()
    assert (model.head(hidden) - model.logits(torch.tensor(ids), vision)[-len(tail) :]).abs().max() < TOLERANCE


@torch.no_grad()
def test_a_greedy_answer_equals_full_passes(model: OV2Model) -> None:
    session = open_session(model)
    reference = MaskedPass(model, session)
    for index in range(12):
        session.append(made_group(index, float(index)))
        reference.follow()
    answer = session.ask("How many?", max_tokens=12)
    list(answer)
    branch = session.branch()
    branch.append(question_tokens(TEXT, "How many?"))
    written: list[int] = []
    for _ in range(12):
        logits_W = reference.logits(branch, None)[-1]
        logits_W[[model.config.image_token_id, model.config.video_token_id]] = -torch.inf
        token = int(logits_W.argmax())
        if token in TEXT.stop_ids:
            break
        written.append(token)
        branch.extend([token])
    branch.close()
    assert answer.num_tokens == len(written)
    assert answer.text == TEXT.decode(written).rstrip("\ufffd")


@torch.no_grad()
def test_a_bfloat16_session_stays_near_its_full_pass() -> None:
    half = OV2Model.from_pretrained(DATA, dtype=torch.bfloat16)
    pool = PagePool(half.config.text, num_pages=160, page_tokens=16, dtype=torch.bfloat16, poison=True)
    session = Session(half, LIMITS, TEXT, pool)
    reference = MaskedPass(half, session)
    for index in range(12):
        session.append(made_group(index, float(index)))
        reference.follow()
    branch = session.branch()
    got = half.head(branch.append(question_tokens(TEXT, "What now?"))).float()
    expected = reference.logits(branch, None).float()
    branch.close()
    assert (got - expected).square().mean().sqrt() < 0.03 * expected.square().mean().sqrt()


def test_pages_are_written_once_and_never_move(model: OV2Model) -> None:
    session = open_session(model)
    kept: dict[int, tuple[Segment, torch.Tensor]] = {}
    for index in range(14):
        session.append(made_group(index, float(index)))
        branch = session.branch()
        for segment in branch.segments:
            keys = session.pool.k_NZKD[1][list(segment.pages)].flatten(0, 1)[: segment.num_tokens]
            same, before = kept.setdefault(id(segment), (segment, keys.clone()))
            assert same is segment
            assert torch.equal(keys, before)
        branch.close()
        list(session.ask("And now?", made_group(99, index + 1.0), max_tokens=3))
