"""What a session promises: a bounded window, answers on branches, pages that come back, errors that say what to set."""

from __future__ import annotations

import pytest
import torch
from engine_fixtures import model, text
from small_model import SPECIALS, made_group, small_model
from torch import Tensor

from ov2.errors import CheckpointError, PromptError, SessionError
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.session import Session
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

__all__ = ["model", "text"]


@pytest.fixture
def session(model: OV2Model, text: TextTokenizer) -> Session:
    """Six groups of one second in a window of 400 tokens."""
    session = Session(model, SessionSettings(window_tokens=400, branch_tokens=300, max_positions=1000, page_tokens=16), text)
    for index in range(6):
        session.append(made_group(index, float(index)))
    return session


def state(session: Session) -> tuple[object, ...]:
    return session.num_tokens, session.num_positions, session.window, session.zero_s, session.groups, session.pool.num_used


def test_an_answer_leaves_the_session_as_it_was(session: Session) -> None:
    before = state(session)
    answer = session.ask("What is it?", made_group(9, 6.0), max_tokens=5)
    pieces = list(answer)
    assert state(session) == before
    assert answer.text == "".join(pieces)
    assert (answer.num_tokens, answer.finish_reason) == (5, "length")
    assert answer.window == (0.0, 7.0)
    assert answer.first_token_s is not None
    assert answer.first_token_s > 0
    assert answer.prompt_tokens == len(session.branch().segments[-1].ids) + len("What is it?") + len("\nassistant\n") + 2


def test_answers_do_not_depend_on_each_other_or_on_later_groups(session: Session) -> None:
    alone = list(session.ask("Red?", max_tokens=8))
    first, second = session.ask("Red?", max_tokens=8), session.ask("Blue?", max_tokens=8)
    pieces = [next(first)]
    next(second, None)
    session.append(made_group(6, 6.0))
    session.renew()
    assert pieces + list(first) == alone


@pytest.mark.parametrize("read", [0, 1])
def test_an_abandoned_answer_gives_its_pages_back(session: Session, read: int) -> None:
    held = session.pool.num_used
    answer = session.ask("Red?", max_tokens=8)
    for _ in range(read):
        next(answer)
    session.renew()
    assert session.pool.num_used > held
    answer.close()
    assert session.pool.num_used == held
    assert list(answer) == []
    forgotten = session.ask("Red?", max_tokens=8)
    next(forgotten)
    del forgotten
    assert session.pool.num_used == held
    with session.ask("Red?") as left_early:
        next(left_early)
    assert session.pool.num_used == held


def test_a_failed_append_gives_its_pages_back(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    held = session.pool.num_used

    def fail(*_args: object, **_options: object) -> Tensor:
        raise MemoryError

    monkeypatch.setattr("ov2.forward.paged_attention", fail)
    for use in (lambda: session.append(made_group(6, 6.0)), session.renew):
        with pytest.raises(SessionError, match="out of memory") as failed:
            use()
        assert isinstance(failed.value.__cause__, MemoryError)
    assert session.pool.num_used == held
    assert session.window == (0.0, 6.0)


def test_the_window_drops_its_oldest_groups_and_keeps_the_system_text(session: Session) -> None:
    for index in range(6, 30):
        session.append(made_group(index, float(index)))
    branch = session.branch()
    assert branch.segments[0].group is None
    assert branch.segments[0].first_position == 0
    branch.close()
    assert session.num_tokens <= 400
    assert [group.group_id for group in session.groups] == list(range(30 - len(session.groups), 30))
    assert session.num_dropped + len(session.groups) == 30


def test_the_window_is_bounded_in_stream_time(model: OV2Model, text: TextTokenizer) -> None:
    session = Session(model, SessionSettings(max_timestamp_s=9.0), text)
    assert session.limits.window_s == 6.0
    for index in range(40):
        session.append(made_group(index, float(index)))
        assert session.window is not None
        assert session.window[1] - session.window[0] <= 6.0
        assert session.window[1] - session.zero_s <= 9.0


def test_the_window_is_bounded_in_pages_however_small_its_groups(model: OV2Model, text: TextTokenizer) -> None:
    session = Session(model, SessionSettings(window_tokens=512, page_tokens=64), text)
    for index in range(60):
        session.append(made_group(index, float(index), canvases=1, size=(28, 28)))
    assert session.pool.num_used <= session.limits.window_pages


def test_positions_stay_in_the_trained_range_for_ever(model: OV2Model, text: TextTokenizer) -> None:
    session = Session(model, SessionSettings(window_tokens=200, branch_tokens=100, max_positions=400, page_tokens=16), text)
    for index in range(50):
        session.append(made_group(index, float(index)))
        assert session.num_positions + 100 <= 400
    assert session.num_renewals > 3


def test_renewal_comes_after_renew_s_of_stream_time(model: OV2Model, text: TextTokenizer) -> None:
    session = Session(model, SessionSettings(renew_s=10.0), text)
    for index in range(35):
        session.append(made_group(index, float(index)))
    assert session.num_renewals == 3


def test_limits_follow_from_the_model(model: OV2Model, text: TextTokenizer) -> None:
    limits = Session(model, None, text).limits
    assert (limits.window_tokens, limits.branch_tokens, limits.max_positions) == (4096, 2048, 40_960)
    trained = small_model()
    trained.stream_settings = {"max_positions": 4096, "max_timestamp_s": 90.0}
    limits = Session(trained, None, text).limits
    assert (limits.window_tokens, limits.branch_tokens, limits.max_positions) == (2048, 1024, 4096)
    assert (limits.window_s, limits.max_timestamp_s) == (60.0, 90.0)


def test_a_question_before_the_first_group_is_answered_from_what_there_is(model: OV2Model, text: TextTokenizer) -> None:
    session = Session(model, None, text)
    answer = session.ask("Anything?", max_tokens=3)
    assert len(list(answer)) <= 3
    assert answer.window is None
    peeked = session.ask("Anything?", made_group(0, 50.0), max_tokens=3)
    list(peeked)
    assert peeked.window == (50.0, 51.0)
    assert (session.window, session.zero_s) == (None, 0.0)


def test_sampling_is_repeatable_with_a_seed(session: Session) -> None:
    def said(seed: int, **how: float) -> str:
        answer = session.ask("Say", max_tokens=12, seed=seed, **how)  # type: ignore[arg-type]
        list(answer)
        return answer.text

    assert said(1, temperature=1.0) == said(1, temperature=1.0)
    assert len({said(seed, temperature=1.5) for seed in range(4)}) > 1
    assert {said(seed, temperature=1.0, top_p=1e-6) for seed in range(3)} == {said(0)}


def test_a_stop_token_ends_the_answer_unsaid(session: Session, monkeypatch: pytest.MonkeyPatch, text: TextTokenizer) -> None:
    script = [*text.encode("Yes é"), SPECIALS["<|im_end|>"], *text.encode("more")]
    tokens = iter(script)
    monkeypatch.setattr("ov2.token_stream.choose", lambda *_given: next(tokens))
    answer = session.ask("Is it?")
    assert list(answer) == ["Y", "e", "s", " ", "é"]
    assert (answer.text, answer.finish_reason, answer.num_tokens) == ("Yes é", "stop", 6)


@pytest.mark.parametrize(
    ("question", "how", "message"),
    [
        ("  ", {}, "expected some text, got none"),
        ("why " * 200, {}, "expected at most .* tokens with peek and answer"),
        ("why", {"max_tokens": 900}, "expected at most .* tokens with peek and answer"),
        ("why", {"max_tokens": 0}, "max_tokens: expected at least 1"),
        ("why", {"temperature": -1.0}, "temperature: expected zero or above"),
        ("why", {"top_p": 0.0}, "top_p: expected above 0"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(session: Session, question: str, how: dict[str, float], message: str) -> None:
    held = session.pool.num_used
    with pytest.raises(PromptError, match=message):
        session.ask(question, **how)  # type: ignore[arg-type]
    assert session.pool.num_used == held


def test_a_branch_that_would_pass_the_trained_positions_renews_first(session: Session) -> None:
    for index in range(6, 16):
        session.append(made_group(index, float(index)))
    assert session.num_renewals == 0
    list(session.ask("why", max_tokens=500))
    assert session.num_renewals == 1


def test_a_group_that_does_not_fit_the_window_is_refused(session: Session) -> None:
    before = state(session)
    with pytest.raises(SessionError, match=r"group 7: expected at most 356 tokens, got .* set window_tokens higher"):
        session.append(made_group(7, 7.0, canvases=4, size=(280, 280)))
    with pytest.raises(SessionError, match=r"starts at 5\.0 s or later, got 1\.0 s"):
        session.append(made_group(7, 1.0))
    assert state(session) == before


def test_a_closed_session_gives_its_pages_back_and_refuses_work(session: Session) -> None:
    under_way = session.ask("Red?", max_tokens=4)
    with session:
        pass
    session.close()
    assert len(list(under_way)) > 0
    assert session.pool.num_used == 0
    for use in (lambda: session.append(made_group(9, 9.0)), lambda: session.ask("Red?"), session.renew, session.branch):
        with pytest.raises(SessionError, match="expected an open session"):
            use()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SessionSettings(window_tokens=900, branch_tokens=200, max_positions=1000), "at most max_positions, got 900"),
        (SessionSettings(window_s=9.0, max_timestamp_s=5.0), "expected window_s at most max_timestamp_s"),
        (SessionSettings(page_tokens=0), "expected page_tokens above 0"),
        (SessionSettings(window_tokens=-1), "expected window_tokens above 0"),
        (SessionSettings(num_pages=0), "pages: expected 2 free, got 0 of 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    model: OV2Model, text: TextTokenizer, settings: SessionSettings, message: str
) -> None:
    with pytest.raises(SessionError, match=message):
        Session(model, settings, text)


def test_parts_of_different_checkpoints_are_refused(model: OV2Model, text: TextTokenizer) -> None:
    with pytest.raises(CheckpointError, match="expected `text`"):
        Session(model)
    pool = PagePool(model.config.text, num_pages=4, page_tokens=8)
    with pytest.raises(SessionError, match="expected pages of 32 tokens, got 8"):
        Session(model, None, text, pool)


def test_sessions_share_a_pool(model: OV2Model, text: TextTokenizer) -> None:
    pool = PagePool(model.config.text, num_pages=60, page_tokens=32, poison=True)
    front, back = Session(model, None, text, pool), Session(model, None, text, pool)
    expected = list(front.ask("Same?", max_tokens=4))
    for index in range(4):
        back.append(made_group(index, float(index)))
    assert list(front.ask("Same?", max_tokens=4)) == expected
    front.close()
    back.close()
    assert pool.num_used == 0


def test_a_pool_notices_a_page_released_twice_or_a_slot_written_twice(model: OV2Model) -> None:
    pool = PagePool(model.config.text, num_pages=2, page_tokens=4, poison=True)
    (page,) = pool.take(1)
    keys = torch.zeros(1, 2, 16)
    pool.write(0, torch.tensor([page * 4]), keys, keys)
    with pytest.raises(AssertionError, match="written twice"):
        pool.write(0, torch.tensor([page * 4]), keys, keys)
    pool.release([page])
    assert pool.k_NZKD[0][page].isnan().all()
    with pytest.raises(AssertionError, match="more often than held"):
        pool.release([page])
