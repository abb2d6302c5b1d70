"""The model against the published implementation's outputs, and its two ways of running against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ov2_kernels import group_attention, rotate_interleaved
from repository import GOLDEN
from small_model import small_config, small_model
from torch import Tensor

from ov2.attention import TreeMask
from ov2.model import OV2Model

DATA = GOLDEN / "ov2_tiny"
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def case() -> dict[str, Tensor]:
    with np.load(DATA / "case.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def tiny() -> OV2Model:
    return OV2Model.from_pretrained(DATA)


@torch.no_grad()
def test_vision_tokens_and_logits_equal_the_published_ones(tiny: OV2Model, case: dict[str, Tensor]) -> None:
    tokens = tiny.vision_tokens(case["pixel_values"], case["image_grid_thw"], case["patch_positions"])
    assert (tokens - case["vision_tokens"]).abs().max() < TOLERANCE
    assert (tiny.logits(case["input_ids"], tokens) - case["logits"]).abs().max() < TOLERANCE


@torch.no_grad()
def test_first_encoder_block_equals_the_published_one(tiny: OV2Model, case: dict[str, Tensor]) -> None:
    seen: list[Tensor] = []
    hook = tiny.model.visual.encoder.layers[0].register_forward_hook(lambda _module, _given, out: seen.append(out))
    tiny.vision_tokens(case["pixel_values"], case["image_grid_thw"], case["patch_positions"])
    hook.remove()
    assert (seen[0] - case["vision_hidden_0"]).abs().max() < TOLERANCE


@torch.no_grad()
def test_greedy_tokens_equal_the_published_ones(tiny: OV2Model, case: dict[str, Tensor]) -> None:
    tokens = tiny.vision_tokens(case["pixel_values"], case["image_grid_thw"], case["patch_positions"])
    ids = case["input_ids"]
    for expected in case["greedy"].tolist():
        assert int(tiny.logits(ids, tokens)[-1].argmax()) == expected
        ids = torch.cat((ids, torch.tensor([expected])))


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_language_model_equals_transformers_qwen3(tied: bool) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    ours = small_model(tied=tied)
    text = ours.config.text
    theirs = Qwen3ForCausalLM(
        Qwen3Config(
            **{name: getattr(text, name) for name in text.__dataclass_fields__ if name != "rope_theta"},
            rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
            tie_word_embeddings=tied,
        )
    ).eval()
    weights = {name.replace("model.language_model.", "model."): tensor for name, tensor in ours.state_dict().items()}
    result = theirs.load_state_dict({name: tensor for name, tensor in weights.items() if "visual" not in name}, strict=False)
    assert set(result.missing_keys) <= ({"lm_head.weight"} if tied else set())
    ids = torch.randint(0, 496, (70,))
    assert (theirs(ids[None]).logits[0] - ours.logits(ids)).abs().max() < TOLERANCE


@torch.no_grad()
def test_groups_run_together_as_they_run_alone() -> None:
    model = small_model()
    grid = torch.tensor([[4, 4, 6], [1, 4, 6], [2, 2, 4], [4, 4, 6], [6, 2, 2], [1, 4, 6]])
    counts = grid.prod(1).tolist()
    pixels = torch.randn(sum(counts), 588)
    positions = torch.randint(0, 30, (sum(counts), 3))
    together = model.vision_tokens(pixels, grid, positions)
    first = 0
    for row, count in zip(grid, counts, strict=True):
        alone = model.vision_tokens(pixels[first : first + count], row[None], positions[first : first + count])
        assert torch.allclose(alone, together[first // 4 : (first + count) // 4], atol=1e-5)
        first += count


@torch.no_grad()
def test_tree_mask_equals_the_same_square_mask() -> None:
    model, trunk, branches = small_model(), 60, [(10, 4), (60, 1), (0, 3), (33, 8)]
    tree = TreeMask.of(trunk, branches)
    total = trunk + sum(length for _, length in branches)
    sees = torch.zeros(total, total, dtype=torch.bool)
    sees[:trunk, :trunk] = True
    first, positions = trunk, [torch.arange(trunk)]
    for seen, length in branches:
        sees[first : first + length, :seen] = True
        sees[first : first + length, first : first + length] = True
        positions.append(seen + torch.arange(length))
        first += length
    sees = sees.tril()
    x = torch.randn(total, model.config.text.hidden_size)
    by_tree = model.language(x, torch.cat(positions), tree)
    assert torch.allclose(by_tree, model.language(x, torch.cat(positions), sees), atol=1e-5)
    # and a branch answers as if its part of the trunk and itself were alone
    alone = torch.cat((x[:33], x[-8:]))
    assert torch.allclose(by_tree[-8:], model.language(alone)[-8:], atol=1e-5)


def test_every_weight_learns_from_a_loss() -> None:
    model = small_model().train()
    tokens = model.vision_tokens(torch.randn(16, 588), torch.tensor([[2, 2, 4]]), torch.randint(0, 9, (16, 3)))
    ids = torch.tensor([1, 502, *[500] * 4, 503, 2, 3])
    model.logits(ids, tokens).square().mean().backward()
    still = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0]
    assert still == []


def test_vision_tokens_that_do_not_fit_the_image_tokens_are_refused() -> None:
    model = small_model()
    with pytest.raises(ValueError, match="expected one for each of 2 image tokens, got 3"):
        model.logits(torch.tensor([1, 500, 500]), torch.zeros(3, 48))


@torch.no_grad()
def test_bfloat16_stays_near_float32(case: dict[str, Tensor]) -> None:
    half = OV2Model.from_pretrained(DATA, dtype=torch.bfloat16)
    tokens = half.vision_tokens(case["pixel_values"], case["image_grid_thw"], case["patch_positions"])
    logits = half.logits(case["input_ids"], tokens)
    assert logits.dtype == torch.bfloat16
    error = (logits.float() - case["logits"]).square().mean().sqrt() / case["logits"].square().mean().sqrt()
    assert error < 0.05


@torch.no_grad()
def test_a_new_model_starts_at_even_odds() -> None:
    torch.manual_seed(0)
    config = small_config()
    model = OV2Model(replace(config, text=replace(config.text, initializer_range=0.02)))
    ids = torch.randint(0, 496, (64,))
    loss = torch.nn.functional.cross_entropy(model.logits(ids)[:-1], ids[1:])
    assert abs(float(loss) - np.log(config.text.vocab_size)) < 0.3


def test_group_attention_equals_a_masked_softmax() -> None:
    lengths, heads, head = [3, 3, 5, 1], 2, 32
    q, k, v = (torch.randn(12, heads, head) for _ in range(3))
    angles = torch.randn(12, head)
    out = group_attention(q, k, v, angles.cos(), angles.sin(), lengths)
    turned_q, turned_k = (rotate_interleaved(x, angles.cos(), angles.sin()) for x in (q, k))
    work = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    scores = torch.einsum("phd,shd->hps", turned_q, turned_k) / head**0.5
    shares = scores.masked_fill(work[:, None] != work, -torch.inf).softmax(-1)
    assert torch.allclose(out, torch.einsum("hps,shd->phd", shares, v), atol=1e-5)
