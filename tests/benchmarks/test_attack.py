"""Nobody can knock it over: the harness of `ov2 bench attack`, and its short form against the real service."""

from __future__ import annotations

import asyncio
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ov2_bench.attack.attackers.damaged import Holdings, flip
from ov2_bench.attack.attackers.starts import BROKEN
from ov2_bench.attack.cases import any_json, any_payload, any_topic
from ov2_bench.attack.judgement import fair, keeps, refused, refused_or_closed
from ov2_bench.attack.ledger import KEPT, Ledger
from ov2_bench.attack.logtail import LogTail
from ov2_bench.attack.mqtt_wire import connect_packet, packet, publish_packet
from ov2_bench.attack.plot import save_siege
from ov2_bench.attack.run import AttackRun, AttackSettings, run_attack
from ov2_bench.attack.schedule import ATTACKS, FLIPS, OPEN, TOKENS, quotas, round_of
from ov2_bench.attack.screen import draw, show, tell
from ov2_bench.attack.verdict import broken_promises, verdict
from ov2_bench.attack.wire import Reply, Wire, read_reply, request_bytes
from rich.console import Console

WAIT_S = 60.0
REFUSAL = b'{"error": {"code": "bad_question", "message": "seed: expected at most 2^63-1"}}'
TRACEBACK = """12:00 ERROR a: it broke
Traceback (most recent call last):
  File 'a.py', line 1
    raise ValueError
ValueError: no
12:01 INFO on
"""


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, {}, b"{}"), ""),
        (Reply(422, {}, REFUSAL), ""),
        (Reply(503, {"retry-after": "1"}, REFUSAL), ""),
        (Reply(503, {}, REFUSAL), "503 without Retry-After"),
        (Reply(500, {}, b"Internal Server Error"), "500"),
        (Reply(422, {}, b"no"), "422 without a code and a message"),
        (Reply(404, {}, b'{"detail": "Not Found"}'), "404 without a code"),
        (Reply(400, {}, b"Invalid HTTP request received."), ""),
        (Reply(200, {}, b"Traceback (most recent call last)"), "a traceback"),
        (Reply(problem="closed without an answer"), "closed without an answer"),
    ],
)
def test_an_answer_or_a_clear_refusal_is_fair_and_nothing_else(reply: Reply, words: str) -> None:
    assert (words in fair(reply)) if words else not fair(reply)


def test_a_refusal_that_is_wanted_has_its_status_and_tells_no_path() -> None:
    assert not refused(401, 403)(Reply(401, {}, REFUSAL))
    assert "expected 401, got 200" in refused(401)(Reply(200, {}, b"{}"))
    assert "expected 401, got closed" in refused(401)(Reply(problem="closed without an answer"))
    assert not refused_or_closed(413)(Reply(problem="closed without an answer"))
    assert "tells '/srv/data'" in keeps(["/srv/data"])(Reply(422, {}, REFUSAL.replace(b"seed", b"/srv/data")))


@pytest.mark.parametrize(
    ("data", "reply", "is_over"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Reply(200, {"content-length": "2"}, b"{}"), False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Reply(204), False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            Reply(200, {"transfer-encoding": "chunked"}, b"abc"),
            False,
        ),
        (b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno", Reply(413, {"connection": "close"}, b"no"), True),
    ],
)
def test_an_answer_is_read_as_it_ends(data: bytes, reply: Reply, *, is_over: bool) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        assert await read_reply(reader) == (reply, is_over)

    asyncio.run(main())


def test_no_answer_is_a_reply_with_its_reason_and_an_idle_connection_is_tried_again() -> None:
    async def main() -> None:
        served = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            served += 1
            await reader.readuntil(b"\r\n\r\n")
            if served < 3:
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wire = Wire("127.0.0.1", port)
        request = request_bytes("GET", "/")
        assert [(await wire.ask(request)).status for _ in range(2)] == [204, 204]
        assert (await wire.ask(request)).problem == "closed without an answer"
        await wire.close()
        server.close()
        await server.wait_closed()
        assert "Connect" in (await wire.ask(request)).problem

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


@given(st.randoms(use_true_random=False))
def test_what_is_drawn_can_be_sent(rng: random.Random) -> None:
    json.loads(any_json(rng))
    topic = any_topic(rng, "ov2")
    assert topic
    assert not set("+#\x00") & set(topic)
    assert publish_packet(topic.encode("utf-8", "replace"), any_payload(rng))


def test_the_same_seed_draws_the_same() -> None:
    first, second = (
        [any_json(random.Random(7)), any_topic(random.Random(7), "ov2"), any_payload(random.Random(7))] for _ in "ab"
    )
    assert first == second
    rounds = [[attack.name for attack in round_of(OPEN, random.Random(seed))] for seed in (1, 1, 2)]
    assert rounds[0] == rounds[1] != rounds[2]
    assert sorted(rounds[0]) == sorted(attack.name for attack in ATTACKS if OPEN in attack.services)


def test_mqtt_packets_are_those_of_the_standard() -> None:
    assert connect_packet("a", "u", "p") == bytes.fromhex(
        "10 13 0004 4d515454 04 c2 003c 0001 61 0001 75 0001 70".replace(" ", "")
    )
    assert publish_packet(b"t", b"x", qos=1, retain=True, ident=10) == bytes.fromhex("3306 0001 74 000a 78".replace(" ", ""))
    assert packet(0x30, bytes(321))[:3] == bytes.fromhex("30c102")  # the example of 2.2.3


def test_tracebacks_are_found_whole_wherever_the_log_is_cut(tmp_path: Path) -> None:
    text = TRACEBACK + "12:02 INFO still on\n" + TRACEBACK
    for cut in range(len(text)):
        file = tmp_path / "log"
        tail = LogTail(file)
        file.write_text(text[:cut])
        found = tail.tracebacks()
        with file.open("a") as more:
            more.write(text[cut:])
        found += tail.tracebacks()
        assert [each.strip().splitlines()[-1] for each in found] == ["ValueError: no"] * 2


def test_a_ledger_counts_all_and_keeps_the_words_of_some() -> None:
    ledger = Ledger()
    for number in range(3 * KEPT):
        ledger.count("a", f"it broke {number}" if number % 2 else "")
    ledger.count("a", "it broke 1")
    record = ledger.of("a")
    assert (ledger.tried, ledger.failed) == (3 * KEPT + 1, 3 * KEPT // 2 + 1)
    assert len(record.failures) == KEPT
    assert record.failures["it broke 1"] == 2


def test_random_cases_are_spread_over_the_rounds_that_are_left() -> None:
    assert quotas(1000, left_s=100.0, round_s=10.0) == 100
    assert quotas(1000, left_s=1.0, round_s=10.0) == 1000
    assert sum(attack.fuzz_share for attack in ATTACKS) == 1
    assert all(set(attack.short) <= set(attack.services) for attack in ATTACKS)
    assert all(attack.fuzz_share or 0 < attack.few <= attack.count for attack in ATTACKS)


def test_one_bit_is_flipped_in_one_file_that_holds_something(tmp_path: Path) -> None:
    files = {"journal.sqlite": bytes(100), "memory/front/1.groups": bytes(50), "memory/front/.lock": b"x", "empty": b""}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for seed in range(20):
        flip(tmp_path, random.Random(seed))
    changed = {name for name, data in files.items() if (tmp_path / name).read_bytes() != data}
    assert changed == {"journal.sqlite", "memory/front/1.groups"}


def test_one_record_may_be_lost_of_each_kind_and_no_more() -> None:
    whole = Holdings(frozenset(range(500)), frozenset({"a"}), 10, 1000)
    assert whole.lost(Holdings(frozenset(range(470)), frozenset({"a", "b"}), 9, 999)) == []
    assert len(whole.lost(Holdings(frozenset(range(100)), frozenset({"a"}), 8, 998))) == 3


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[AttackRun, dict[str, Any], Path]:
    """Every attack once, with a small count, against `ov2 serve`."""
    out = tmp_path_factory.mktemp("attack")
    settings = AttackSettings(
        seed=11, attack_s=60.0, out=out, cases=1000, fill_s=0.0, quiet_s=3.0, rest_s=3.0, is_short=True, num_flips=1
    )
    console = Console(file=(out / "lines.txt").open("w"))
    with console.file:
        run = asyncio.run(run_attack(settings, lambda run: show(run, console)))
    return run, verdict(run), out


@pytest.mark.timeout(600)
def test_no_attack_gets_through(short_run: tuple[AttackRun, dict[str, Any], Path]) -> None:
    _, told, _ = short_run
    assert {name: row["what"] for name, row in told["attacks"].items() if row["failed"]} == {}
    assert (told["failed"], told["service_restarts"], told["tracebacks"], told["tmp_left_bytes"]) == (0, 0, 0, 0)
    assert told["tried"] >= 1000


@pytest.mark.timeout(600)
def test_every_attack_was_made_on_every_service_it_is_for(short_run: tuple[AttackRun, dict[str, Any], Path]) -> None:
    run, told, _ = short_run
    assert {siege.service: {name for name, _, _ in siege.strikes} for siege in run.sieges} == {
        service: {attack.name for attack in ATTACKS if service in attack.short} for service in (TOKENS, OPEN)
    }
    assert told["attacks"][FLIPS]["tried"] == 2
    assert all(row["tried"] or row["skipped"] for row in told["attacks"].values())
    assert {row["exit_status"] for row in told["services"].values()} == {0}


@pytest.mark.timeout(600)
def test_a_run_has_its_contract_a_page_and_a_picture(short_run: tuple[AttackRun, dict[str, Any], Path]) -> None:
    run, told, out = short_run
    contract = {"tried", "failed", "service_restarts", "longest_stall_ms", "rss_growth", "fd_growth", "tmp_left_bytes"}
    assert contract <= set(told)
    assert json.loads(json.dumps(told)) == told
    lines = (out / "lines.txt").read_text()
    assert "quiet" in lines
    page = io.StringIO()
    console = Console(width=160, file=page)
    console.print(draw(run))
    tell(told, console)
    assert all(attack.name in page.getvalue() for attack in ATTACKS)
    save_siege(run, out / "attack.png")
    assert (out / "attack.png").read_bytes().startswith(b"\x89PNG")
    good = {**told, **dict.fromkeys(contract, 0), "tried": 1}
    assert broken_promises(good) == []
    for name, value in {
        "failed": 1,
        "service_restarts": 1,
        "longest_stall_ms": 501,
        "rss_growth": 0.11,
        "fd_growth": 1,
        "tmp_left_bytes": 1,
    }.items():
        assert broken_promises({**good, name: value})


def test_broken_configurations_have_names_of_their_own() -> None:
    assert len({start.name for start in BROKEN}) == len(BROKEN)
