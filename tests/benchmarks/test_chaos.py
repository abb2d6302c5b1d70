"""Cameras into which faults are injected come back: the harness of `ov2 bench chaos`, and its short form against the real service."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import struct
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ov2_bench.chaos.harm import Harm
from ov2_bench.chaos.ledger import CONFIRM_S, Outage, Watched, backoff_ceiling, percentile, spacing_errors
from ov2_bench.chaos.plot import save_timeline
from ov2_bench.chaos.relay import Relay
from ov2_bench.chaos.run import ChaosRun, ChaosSettings, run_chaos
from ov2_bench.chaos.schedule import FaultKind, Limits, draw_faults
from ov2_bench.chaos.screen import draw, show
from ov2_bench.chaos.verdict import found_wrong, verdict
from ov2_bench.chaos.wire import Splitter, interleaved_shifted
from rich.console import Console

WAIT_S = 60.0
SILENCE_S = 0.2
"""Long enough for what is not held back to come over loopback."""
HOUR_S = 3600
PLAY = b"PLAY rtsp://127.0.0.1/cam RTSP/1.0\r\nCSeq: 4\r\n\r\n"
DESCRIBED = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 6\r\n\r\nv=0\r\n\n"


def interleaved(channel: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0x24, channel, len(payload)) + payload


MESSAGES = st.lists(
    st.one_of(
        st.sampled_from([PLAY, DESCRIBED]),
        st.builds(interleaved, st.integers(0, 3), st.binary(max_size=300)),
    ),
    max_size=12,
)


@given(MESSAGES, st.lists(st.integers(1, 50), max_size=40))
def test_bytes_cut_anywhere_come_out_as_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    data, splitter, out = b"".join(messages), Splitter(), []
    for size in [*cuts, len(data)]:
        out += splitter.push(data[:size])
        data = data[size:]
    assert out == messages


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.sampled_from([HOUR_S, -HOUR_S]))
def test_a_moved_clock_shows_in_rtp_times_and_sender_reports_alike(rtp: int, ntp: int, by_s: int) -> None:
    packet = struct.pack(">BBHII", 0x80, 96, 7, rtp, 1) + b"picture"
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 1, ntp, 5, rtp, 9, 900)
    goodbye = struct.pack(">BBHI", 0x81, 203, 1, 1)
    moved = interleaved_shifted(interleaved(0, packet), by_s)[4:]
    told = interleaved_shifted(interleaved(1, report + goodbye), by_s)[4:]
    assert struct.unpack_from(">I", moved, 4)[0] == struct.unpack_from(">I", told, 16)[0] == (rtp + by_s * 90_000) % 2**32
    assert struct.unpack_from(">I", told, 8)[0] == (ntp + by_s) % 2**32
    assert moved[:4] + moved[8:] == packet[:4] + packet[8:]
    assert told[len(report) :] == goodbye


def test_a_seed_tells_what_happens_to_whom_and_each_round_has_every_injury() -> None:
    first, second = (list(itertools.islice(draw_faults(7, ["a", "b"]), 21)) for _ in range(2))
    assert first == second
    assert first != list(itertools.islice(draw_faults(8, ["a", "b"]), 21))
    for begin in range(0, 21, 7):
        assert {fault.kind for fault in first[begin : begin + 7]} == set(FaultKind)
    assert all(5 <= fault.after_s <= 15 for fault in first)
    assert all(2 <= fault.lasts_s <= 20 for fault in first if fault.kind in (FaultKind.STALL, FaultKind.SLOW))


def seen(watched: Watched, until_s: float, *, since_s: float, state: str = "live", frames_per_s: float = 10.0) -> None:
    """Answers of the service, ten a second."""
    frames = watched.status.get("frames", 0)
    for step in range(1, round((until_s - since_s) * 10) + 1):
        count = frames + int(step / 10 * frames_per_s)
        watched.see(since_s + step / 10, {"state": state, "frames": count, "groups": 0})


def test_what_a_dying_connection_still_delivers_is_no_recovery() -> None:
    outage = Outage(camera="a", kind=FaultKind.CUT, began_s=10.0, healed_s=10.0, back_s=10.0)
    watched = Watched()
    seen(watched, 10.0, since_s=0.0)
    watched.outage = outage
    seen(watched, 11.0, since_s=10.0)
    seen(watched, 14.0, since_s=11.0, state="offline", frames_per_s=0)
    seen(watched, 20.0, since_s=14.0)
    assert outage.outage_s == pytest.approx(4.1)
    assert not outage.is_late


def test_a_camera_that_says_live_and_sends_nothing_is_not_back() -> None:
    outage = Outage(camera="a", kind=FaultKind.STALL, began_s=0.0, healed_s=5.0, back_s=5.0)
    watched = Watched(outage=outage)
    seen(watched, 30.0, since_s=5.0, frames_per_s=0)
    assert outage.outage_s is None
    assert outage.is_late
    assert not watched.is_back


def test_a_degraded_camera_is_back_and_not_live_yet() -> None:
    outage = Outage(camera="a", kind=FaultKind.KILL, began_s=0.0, healed_s=5.0, back_s=5.0)
    watched = Watched(outage=outage)
    seen(watched, 15.0, since_s=5.0, state="degraded")
    assert watched.is_back
    assert not watched.is_live
    seen(watched, 15.0 + CONFIRM_S, since_s=15.0)
    assert outage.outage_s == pytest.approx(0.1)
    assert outage.until_live_s == pytest.approx(10.1)


def test_the_allowance_follows_the_backoff_which_a_good_minute_ends() -> None:
    short = [(0.0, 1.0), (2.0, 3.0), (5.0, 6.0)]
    assert backoff_ceiling([], first_s=1, longest_s=30) == 0
    assert backoff_ceiling(short, first_s=1, longest_s=30) == 4
    assert backoff_ceiling(short, first_s=1, longest_s=3) == 3
    assert backoff_ceiling([*short, (10.0, 70.0)], first_s=1, longest_s=30) == 1
    late = Outage(camera="a", kind=FaultKind.KILL, began_s=0.0, back_s=5.0, flows_s=18.1, backoff_s=4.0)
    assert (late.allowed_s, late.is_late) == (13.0, True)


def test_groups_on_the_beat_have_no_jitter_and_a_late_one_counts_twice() -> None:
    assert spacing_errors([2.0, 4.0, 6.0, 8.0], 0, 10, 2.0) == [0, 0, 0]
    assert spacing_errors([2.0, 4.0, 6.5, 8.0], 0, 10, 2.0) == [0, 0.5, 0.5]
    assert spacing_errors([2.0, 4.0, 6.5, 8.0], 3, 5, 2.0) == []
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.95, 1.0)] == [2.0, 4.0, 4.0]
    assert percentile([], 0.95) == 0.0


@contextlib.asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relay, asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamWriter]]:
    """A relay, the service's end (reader and writer), and the camera's writer."""
    came: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay = Relay(server.sockets[0].getsockname()[1])
    await relay.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    try:
        yield relay, reader, writer, await came
    finally:
        writer.close()
        await relay.stop()
        server.close()


def ended(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, WAIT_S))


def test_a_cut_ends_in_the_middle_of_a_packet() -> None:
    async def main() -> None:
        packet = interleaved(0, bytes(400))
        async with relayed() as (relay, reader, _, camera):
            camera.write(packet)
            assert await reader.readexactly(len(packet)) == packet
            relay.cut()
            camera.write(packet + packet)
            rest = b""
            with contextlib.suppress(ConnectionResetError):
                while data := await reader.read(1000):
                    rest += data
            assert len(rest) <= len(packet) // 2
            assert rest == packet[: len(rest)]

    ended(main())


def test_a_stall_holds_back_and_loses_nothing() -> None:
    async def main() -> None:
        packet = interleaved(0, bytes(400))
        async with relayed() as (relay, reader, _, camera):
            relay.harm.stall()
            camera.write(100 * packet)
            waiting = asyncio.create_task(reader.readexactly(100 * len(packet)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), SILENCE_S)
            relay.harm.flow()
            assert await waiting == 100 * packet

    ended(main())


def test_a_slow_network_takes_its_time_over_tcp() -> None:
    async def main() -> None:
        packet = interleaved(0, bytes(396))
        async with relayed() as (relay, reader, _, camera):
            relay.harm.bytes_per_s = 20_000
            began_s = time.monotonic()
            camera.write(10 * packet)
            assert await reader.readexactly(10 * len(packet)) == 10 * packet
            assert time.monotonic() - began_s >= 0.2

    ended(main())


def test_a_slow_network_drops_datagrams_that_do_not_fit() -> None:
    times_s = iter((100.0, 100.1, 100.9, 101.0, 101.4))
    harm = Harm(seed=0, monotonic=lambda: next(times_s))
    harm.bytes_per_s = 1000
    fits = [harm.fits(1000) for _ in range(5)]
    assert fits == [True, False, False, True, False]


def test_a_half_closed_side_hears_the_end_while_the_other_may_go_on() -> None:
    async def main() -> None:
        async with relayed() as (relay, reader, _, camera):
            camera.write(interleaved(0, b"last"))
            assert await reader.readexactly(8)
            relay.half_close("service")
            assert await reader.read() == b""
            camera.write(interleaved(0, b"unheard"))
            await camera.drain()
            assert relay.lives() == []

    ended(main())


def test_who_is_refused_is_thrown_out_and_counted() -> None:
    async def main() -> None:
        async with relayed() as (relay, _, _, _):
            relay.harm.refusing = True
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
            assert len(relay.lives()) == 3

    ended(main())


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ChaosRun, dict[str, Any], Path]:
    """Each kind once, against `ov2 serve`."""
    out = tmp_path_factory.mktemp("chaos")
    settings = ChaosSettings(
        seed=11,
        chaos_s=120.0,
        max_faults=len(FaultKind),
        out=out,
        quiet_s=4.0,
        rest_s=3.0,
        touched=("rtsp", "rtsp", "push"),
        untouched=("rtsp",),
        limits=Limits(between_s=(0.1, 0.3), stall_s=(2.0, 2.2), down_s=(0.3, 1.0)),
        reconnect_s=(0.5, 2.0),
        camera={"stale_s": 6.0, "tokenizer": {"t_max_s": 2.0}},
    )
    console = Console(file=(out / "lines.txt").open("w"))
    with console.file:
        run = asyncio.run(run_chaos(settings, lambda run: show(run, console)))
    return run, verdict(run), out


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_after_one_injury_of_each_kind_every_camera_sends_and_makes_groups(
    short_run: tuple[ChaosRun, dict[str, Any], Path],
) -> None:
    run, told, out = short_run
    assert {outage.kind for outage in run.outages} == set(FaultKind)
    trouble = (out / "service.log").read_text()
    assert told["never_back"] == 0, trouble
    assert told["down"] == [], trouble
    assert told["without_groups"] == [], trouble


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_no_exception_escapes_and_the_service_stops_in_order(short_run: tuple[ChaosRun, dict[str, Any], Path]) -> None:
    _, told, out = short_run
    assert told["exceptions"] == 0, (out / "service.log").read_text()
    assert told["unanswered"] == 0
    assert told["exit_status"] == 0


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_processes_threads_and_descriptors_end_where_they_began(short_run: tuple[ChaosRun, dict[str, Any], Path]) -> None:
    _, told, _ = short_run
    assert {name: told[name] for name in ("process_growth", "thread_growth", "fd_growth")} == {
        "process_growth": 0,
        "thread_growth": 0,
        "fd_growth": 0,
    }


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_a_camera_that_is_left_alone_loses_nothing_and_never_reconnects(
    short_run: tuple[ChaosRun, dict[str, Any], Path],
) -> None:
    _, told, _ = short_run
    calm = told["cameras"]["calm_rtsp"]
    assert (calm["reconnects"], calm["drops"], calm["blows"]) == (0, {}, 0)


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_a_run_has_its_contract_a_page_and_a_picture(short_run: tuple[ChaosRun, dict[str, Any], Path]) -> None:
    run, told, out = short_run
    contract = {"longest_outage_s", "exceptions", "memory_growth", "fd_growth", "untouched_jitter_ms"}
    assert contract <= set(told)
    lines = (out / "lines.txt").read_text()
    assert all(f"{outage.camera}: {outage.kind.value}" in lines for outage in run.outages)
    page = io.StringIO()
    Console(width=140, file=page).print(draw(run))
    assert all(name in page.getvalue() for name in run.cameras)
    save_timeline(run, out / "chaos.png")
    assert (out / "chaos.png").read_bytes().startswith(b"\x89PNG")
    assert found_wrong({**told, "exceptions": 1})
