"""Followers of the journal among themselves: what they share, that they take turns, and whose places are whose."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_fixtures import delivering, run, until

from stream.journal import Query, Writer
from stream.journal.writer import RECENT_ENTRIES
from stream.serve.followers import AT_ONCE, CHUNK_BYTES, Followers
from stream.serve.places import Places
from stream.serve.turns import AT_A_TIME, Turns

EVERYTHING = Query()


async def written(writer: Writer, number: int) -> None:
    for each in range(number):
        writer.put("boundary", "front", f"e{each}", {"text": "x" * 1000})
    await until(lambda: writer.num_written >= number)


@pytest.mark.parametrize("number", [AT_ONCE, RECENT_ENTRIES + 2 * AT_ONCE])  # from memory; from the journal, in a thread
def test_followers_at_the_same_place_are_sent_the_same_bytes_and_never_much_at_a_time(tmp_path: Path, number: int) -> None:
    async def follow() -> None:
        async with delivering(tmp_path) as (writer, _):
            await written(writer, number)
            followers = Followers(writer, lambda: False)
            first, second = (followers.follow(EVERYTHING, 0) for _ in range(2))
            async with aclosing(first), aclosing(second):
                for each in (first, second):
                    assert (await anext(each)).startswith(b":")
                found = 0
                while found < number:
                    chunks = await asyncio.gather(anext(first), anext(second))
                    assert chunks[0] is chunks[1], "made once"
                    assert len(chunks[0]) <= CHUNK_BYTES
                    found += chunks[0].count(b"event: entry")
                assert found == number

    run(follow())


def test_a_follower_who_wants_little_is_not_sent_the_rest(tmp_path: Path) -> None:
    async def follow() -> None:
        async with delivering(tmp_path) as (writer, _):
            await written(writer, AT_ONCE)
            writer.put("question", "back", "q1", {"question": "who?"})
            async with aclosing(Followers(writer, lambda: False).follow(Query(camera="back"), 0)) as wanted:
                await anext(wanted)
                assert b'"q1"' in await anext(wanted)

    run(follow())


def test_an_entry_larger_than_a_chunk_is_sent_all_the_same(tmp_path: Path) -> None:
    async def follow() -> None:
        async with (
            delivering(tmp_path) as (writer, _),
            aclosing(Followers(writer, lambda: False).follow(EVERYTHING, None)) as everything,
        ):
            await anext(everything)
            writer.put("boundary", "front", "large", {"text": "x" * (2 * CHUNK_BYTES)})
            writer.put("boundary", "front", "small", {})
            assert b'"large"' in await anext(everything)
            assert b'"small"' in await anext(everything)

    run(follow())


def test_in_one_pass_of_the_event_loop_a_few_go_on_however_many_wait() -> None:
    async def take() -> None:
        turns, gone = Turns(), 0

        async def one() -> None:
            nonlocal gone
            await turns.take()
            gone += 1

        tasks = [asyncio.create_task(one()) for _ in range(10 * AT_A_TIME)]
        tasks[0].cancel()  # who leaves while waiting takes nobody's turn
        before = 0
        while gone < len(tasks) - 1:
            await asyncio.sleep(0)
            assert gone - before <= AT_A_TIME
            before = gone

    run(take())


@given(
    st.lists(
        st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1"]), st.booleans())
    )
)
def test_places_are_never_more_than_there_are_and_all_come_back(steps: list[tuple[str, bool]]) -> None:
    places, held = Places(6, 0.5), list[str]()
    for address, comes in steps:
        if comes:
            if places.take(address):
                held.append(address)
        elif address in held:
            held.remove(address)
            places.give_back(address)
        of_one = sum(each in ("192.0.2.1", "::ffff:192.0.2.1") for each in held)
        of_a_network = sum(each.startswith("2001:db8") for each in held)
        assert places.taken == len(held) <= 6
        assert of_one <= 3
        assert of_a_network <= 3, "whoever has an address of IPv6 has its whole network"
    for address in held:
        places.give_back(address)
    assert all(places.take(address) for address in ["192.0.2.1"] * 3 + ["192.0.2.2"] * 3)
    assert not places.take("192.0.2.3")
