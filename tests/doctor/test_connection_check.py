"""Why a source does not open: the ladder breaks at the rung that is broken, against real servers and real silence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clips import write_clip
from rtsp_fixtures import RtspServer

from stream.doctor.connection_check import CheckStep, climb, describe
from stream.doctor.description import read_description
from stream.doctor.digest import authorization

WAIT_S = 60.0


def broken(rungs: list[CheckStep]) -> CheckStep:
    """The last rung, which must be the only broken one."""
    assert all(rung.ok for rung in rungs[:-1])
    assert not rungs[-1].ok
    return rungs[-1]


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives each request of one connection the next answer; its port, and the requests."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                for answer in answers:
                    asked.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join(WAIT_S)


@pytest.mark.parametrize(
    ("userinfo", "path", "step", "seen", "mend"),
    [
        ("me:wrong@", "cam", "password", "refused", "check both"),
        ("", "cam", "password", "wants a user and a password", "rtsp://USER:PASSWORD@HOST"),
        ("me:r%25ght@", "nowhere", "path", "404", "path"),
        ("me:r%25ght@", "audio", "video", "no video track: only audio", "video"),
    ],
)
def test_a_camera_that_answers_tells_which_rung_breaks(
    tmp_path: Path, rtsp_server: RtspServer, userinfo: str, path: str, step: str, seen: str, mend: str
) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5), user="me", password="r%ght")
    rungs = climb(f"rtsp://{userinfo}127.0.0.1:{port}/{path}", timeout_s=WAIT_S)
    rung = broken(rungs)
    assert rung.step == step
    assert seen in rung.seen
    assert mend in rung.mend
    told = " ".join(f"{rung.seen} {rung.mend}" for rung in rungs)
    assert "wrong" not in told
    assert "r%" not in told


def test_a_ladder_that_holds_ends_with_what_the_source_itself_said(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5))
    url = f"rtsp://127.0.0.1:{port}/cam"
    rungs = climb(url, failure=f"{url}: no packet within 1 s (timeout_s)", timeout_s=WAIT_S)
    assert [rung.step for rung in rungs] == ["name", "port", "answer", "password", "path", "video", "pictures"]
    assert broken(rungs).seen == "no packet within 1 s (timeout_s)"
    description = describe(url, WAIT_S)
    assert description is not None
    assert description.video == ("H264",)


def test_a_refused_port_breaks_the_rung_of_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    rung = broken(climb(f"rtsp://me:word@127.0.0.1:{port}/cam", timeout_s=WAIT_S))
    assert (rung.step, rung.seen) == ("port", f"port {port}: refused")


def test_a_silent_port_breaks_the_rung_of_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        rung = broken(climb(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", timeout_s=0.2))
    assert rung.step == "answer"
    assert "OPTIONS: no answer within 0.2 s" in rung.seen


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something answers, but not RTSP"),
        (b"", "closed the connection"),
        (b"RTSP/1.0 200 OK\r\n" + b"X-Long: y\r\n" * 9000, "something answers, but not RTSP"),
    ],
)
def test_another_server_on_the_port_is_recognised(answer: bytes, seen: str) -> None:
    with answering(answer) as (port, _):
        rung = broken(climb(f"rtsp://127.0.0.1:{port}/cam", timeout_s=WAIT_S))
    assert rung.step == "answer"
    assert seen in rung.seen


def test_a_plain_port_under_rtsps_breaks_the_rung_of_the_encryption() -> None:
    with answering(b"RTSP/1.0 400 Bad Request\r\n\r\n") as (port, _):
        rung = broken(climb(f"rtsps://127.0.0.1:{port}/cam", timeout_s=WAIT_S))
    assert rung.step == "encryption"


def test_a_name_that_nobody_knows_breaks_the_rung_of_the_name() -> None:
    def unknown(host: str, port: int) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    rung = broken(climb("rtsp://me:word@camera.home/x", timeout_s=WAIT_S, resolve=unknown))
    assert (rung.step, rung.seen) == ("name", "camera.home: no such name")


def test_a_resolver_that_hangs_does_not_hang_the_ladder() -> None:
    release = threading.Event()

    def hangs(host: str, port: int) -> object:
        release.wait(WAIT_S)
        raise OSError

    rung = broken(climb("rtsp://camera.home/x", timeout_s=0.1, resolve=hangs))
    release.set()
    assert "no answer from the name server" in rung.seen


@pytest.mark.parametrize(
    ("url", "step"),
    [
        ("ftp://me:word@camera/x", "address"),
        ("/no/such/file.mp4", "file"),
        ("/tmp", "file"),
    ],
)
def test_what_cannot_be_an_address_breaks_at_once(url: str, step: str) -> None:
    rung = broken(climb(url, timeout_s=1.0))
    assert rung.step == step
    assert "word" not in rung.seen


def test_an_empty_file_and_one_that_is_no_video_are_told_apart(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_bytes(b"not a video")
    assert broken(climb(str(empty))).step == "read"
    assert broken(climb(str(text), failure=f"{text}: expected a video file, got something else")).step == "pictures"


def test_a_port_to_listen_on_that_is_taken_is_told_from_a_publisher_that_does_not_come() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert broken(climb(f"listen:rtsp://127.0.0.1:{port}/cam")).step == "port"
    assert broken(climb(f"listen:rtsp://127.0.0.1:{port}/cam")).step == "publisher"


def test_digest_credentials_are_those_of_the_standard() -> None:
    """The example of RFC 7616 3.9.1, for both hashes."""
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    challenge = f'Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="{nonce}", opaque="FQhe/qaU", algorithm='
    answers = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in answers.items():
        given = authorization(
            challenge + algorithm,
            "GET",
            "/dir/index.html",
            "Mufasa",
            "Circle of Life",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        assert f'response="{response}"' in given
        assert 'opaque="FQhe/qaU"' in given
        assert "Circle" not in given
    assert authorization(challenge + "SHA-512-256", "GET", "/", "a", "b") == ""


def test_a_camera_that_wants_a_digest_gets_one_and_never_the_password() -> None:
    ways = b'WWW-Authenticate: Basic realm="x"\r\nWWW-Authenticate: Digest realm="x", nonce="n"\r\n'
    refused = b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n" + ways + b"\r\n"
    body = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=framerate:12.5\r\n"
    described = b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with answering(b"RTSP/1.0 200 OK\r\nServer: Cam\r\n\r\n", refused, described) as (port, asked):
        description = describe(f"rtsp://me:hunter2@127.0.0.1:{port}/cam", WAIT_S)
    assert description is not None
    assert (description.video, description.fps) == (("H264",), 12.5)
    assert b'Authorization: Digest username="me"' in asked[2]
    assert b"hunter2" not in b"".join(asked)


def test_a_codec_that_is_not_read_breaks_the_rung_of_the_video() -> None:
    body = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n"
    described = b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with answering(b"RTSP/1.0 200 OK\r\n\r\n", described) as (port, _):
        rung = broken(climb(f"rtsp://127.0.0.1:{port}/cam", timeout_s=WAIT_S))
    assert (rung.step, rung.seen) == ("video", "video is MP4V-ES")
    assert "H.264" in rung.mend


def test_a_description_full_of_nonsense_is_read_as_far_as_it_makes_sense() -> None:
    text = "m=video x\r\nm=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 26\r\na=framerate:1.2.3\r\na=framerate:.\r\n"
    description = read_description(text)
    assert description.video == ("JPEG",)
    assert description.others == ("audio",)
    assert description.fps is None
