"""What may be opened: addresses that are read in one way alone, limits on schemes, hosts and folders, and no way around them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from clips import write_clip
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SourceError
from stream.sources import open_source
from stream.sources.address import Address, parse_address
from stream.sources.policy import SourcePolicy


def refused(url: str, policy: SourcePolicy | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        (policy or SourcePolicy()).check(parse_address(url), resolve=NAMES.__getitem__)
    return str(caught.value)


NAMES = {
    "cam.example": ["192.0.2.10"],
    "both.example": ["192.0.2.10", "198.51.100.1"],
    "inner.example": ["127.0.0.1"],
    "six.example": ["2001:db8::10"],
    "gate.cams.example": ["203.0.113.9"],
    "localhost": ["127.0.0.1"],
}

# Addresses that could be read in two ways

TRICKS = {
    "concat:/etc/passwd|/etc/hosts": "concat:",
    "concatf:list.txt": "concatf:",
    "subfile,,start,0,end,9,,:/etc/passwd": "subfile,",
    "data:video/mp4;base64,AAAA": "data:",
    "pipe:0": "pipe:",
    "fd:0": "fd:",
    "crypto:/etc/passwd": "crypto:",
    "crypto+file:/etc/passwd": "crypto+file:",
    "unix:/run/docker.sock": "unix:",
    "cache:rtsp:x": "cache:",
    "crypto+http://192.0.2.1/x": "got crypto+http://",
    "concat://192.0.2.1/x": "got concat://",
    "gopher://192.0.2.1:6379/x": "got gopher://",
    "ftp://192.0.2.1/x": "got ftp://",
    "async:file:///etc/passwd": "expected",
    "rtsp://a@b@192.0.2.1/x": "expected one @",
    "rtsp://user:p@ss@192.0.2.1/x": "write it %40",
    "rtsp://192.0.2.1\r\nX: y/z": "plain ASCII",
    "rtsp://192.0.2.1/x\n": "plain ASCII",
    "rtsp://192.0.2.1/a b": "plain ASCII",
    "rtsp://192.0.2.1\\@198.51.100.1/x": "plain ASCII",
    "rtsp://exämple.org/x": "plain ASCII",
    "rtsp://\uff11\uff12\uff17.0.0.1/x": "plain ASCII",
    "rtsp://2130706433/x": "four decimal parts",
    "rtsp://0x7f000001/x": "four decimal parts",
    "rtsp://0x7f.0.0.1/x": "four decimal parts",
    "rtsp://127.1/x": "four decimal parts",
    "rtsp://0177.0.0.1/x": "four decimal parts",
    "rtsp://[::1/x": "expected scheme://HOST:PORT/PATH",
    "rtsp://[evil]/x": "expected",
    "rtsp:///x": "got nothing",
    "rtsp://:554/x": "got nothing",
    "rtsp://192.0.2.1:0/x": "port from 1 to 65535",
    "rtsp://192.0.2.1:99999/x": "port from 1 to 65535",
    "rtsp://192.0.2.1:port/x": "port from 1 to 65535",
    "udp://192.0.2.1": "expected a port",
    "file://192.0.2.1/share/clip.mp4": "on this machine",
    "file:///clip.mp4?x=1": "write them %3F",
    "replay:": "got nothing",
    "replay:concat:/etc/passwd": "concat:",
    "listen:http://127.0.0.1/x": "expected listen:rtsp",
    "": "got nothing",
    "a\0b": "zero byte",
}


@pytest.mark.parametrize("url", TRICKS)
def test_an_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    assert TRICKS[url] in refused(url)


@pytest.mark.parametrize("password", ["se@cret", "se#cret", "se/cret", "se?cret", "se cret", "se\\cret", "sécret"])
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(password: str) -> None:
    said = refused(f"rtsp://me:{password}@cam.example:554/x")
    assert "cret" not in said
    assert "%" in said


@given(st.text(min_size=0, max_size=60))
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    for url in (text, f"rtsp://{text}", f"http://{text}", f"file://{text}", f"rtsp://me:{text}@cam.example/x"):
        try:
            address = parse_address(url)
        except SourceError:
            continue
        assert address.host is None or address.host.isascii()


@pytest.mark.parametrize(
    ("url", "kind", "scheme", "host"),
    [
        ("whip", "whip", "whip", None),
        ("replay:/var/log/front", "replay", "replay", None),
        ("rtsps://cam.example/x", "pull", "rtsps", "cam.example"),
        ("RTSP://me:p%40ss%23@CAM.example:8554/x@y?a=b", "pull", "rtsp", "cam.example"),
        ("http://192.0.2.1/live/index.m3u8?token=x", "hls", "http", "192.0.2.1"),
        ("https://cam.example/video.mjpg", "http", "https", "cam.example"),
        ("udp://239.0.0.1:5000", "mpegts", "udp", "239.0.0.1"),
        ("tcp://192.0.2.1:5000", "mpegts", "tcp", "192.0.2.1"),
        ("srt://[2001:db8::1]:5000", "srt", "srt", "2001:db8::1"),
        ("listen:rtsp://0.0.0.0:8554/cam", "listen", "listen", None),
        ("./odd:name.mp4", "file", "file", None),
    ],
)
def test_an_address_tells_kind_scheme_and_host(url: str, kind: str, scheme: str, host: str | None) -> None:
    address = parse_address(url)
    assert (address.kind, address.scheme, address.host) == (kind, scheme, host)


def test_a_file_is_never_read_as_an_ffmpeg_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a colon behind ./ is that file, and no protocol."""
    write_clip(tmp_path / "data:x.mp4", num_frames=3)
    monkeypatch.chdir(tmp_path)
    with open_source("./data:x.mp4") as source:
        assert len(list(source)) == 3


# Limits


def test_without_limits_every_address_that_can_be_read_goes() -> None:
    for url in ("rtsp://inner.example/x", "http://127.0.0.1/x.m3u8", "whip", "udp://239.0.0.1:5000"):
        address = parse_address(url)
        assert SourcePolicy().check(address, resolve=NAMES.__getitem__) == address


def test_a_scheme_that_is_not_listed_is_refused() -> None:
    policy = SourcePolicy(schemes=("rtsp", "whip"))
    for url in ("rtsps://cam.example/x", "clip.mp4", "replay:log", "listen:rtsp://127.0.0.1:1/x", "http://cam.example/x"):
        assert "is not among ingest.schemes (rtsp, whip)" in refused(url, policy)
    policy.check(parse_address("whip"))


HOSTS = ("cam.example", "*.cams.example", "192.0.2.0/24", "2001:db8::/32", "198.51.100.7")


@pytest.mark.parametrize(
    "host", ["cam.example", "CAM.EXAMPLE", "gate.cams.example", "192.0.2.77", "198.51.100.7", "[2001:db8::1]", "six.example"]
)
def test_a_host_that_is_listed_goes(host: str) -> None:
    SourcePolicy(hosts=HOSTS).check(parse_address(f"rtsp://{host}/x"), resolve=lambda name: NAMES[name.lower()])


@pytest.mark.parametrize(
    "host",
    [
        "inner.example",
        "both.example",
        "127.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:198.51.100.1]",
        "localhost",
    ],
)
def test_a_host_is_refused_where_any_of_its_addresses_is(host: str) -> None:
    assert "is not among ingest.hosts" in refused(f"rtsp://{host}/x", SourcePolicy(hosts=HOSTS))


def test_what_is_opened_is_the_address_that_was_checked() -> None:
    """A name that resolves differently the second time leads nowhere else."""
    policy = SourcePolicy(hosts=("192.0.2.0/24", "2001:db8::/32", "cam.example"))
    check = {"resolve": NAMES.__getitem__}
    opened = policy.check(parse_address("rtsp://me:word@cam.example:8554/x?y=z"), **check)
    assert (opened.url, opened.target) == ("rtsp://me:word@cam.example:8554/x?y=z", "rtsp://me:word@192.0.2.10:8554/x?y=z")
    assert policy.check(parse_address("rtsp://six.example/x"), **check).target == "rtsp://[2001:db8::10]/x"
    assert policy.check(parse_address("rtsps://cam.example/x"), **check).target == "rtsps://cam.example/x"


def test_a_name_without_an_address_says_so() -> None:
    def nowhere(name: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(SourceError, match="no address is known for the name cam"):
        SourcePolicy(hosts=("192.0.2.0/24",)).check(parse_address("rtsp://cam/x"), resolve=nowhere)


@pytest.mark.parametrize(
    "limits",
    [
        {"schemes": ("gopher",)},
        {"hosts": ("rtsp://cam/x",)},
        {"hosts": ("192.0.2.0/99",)},
        {"hosts": ("",)},
        {"hosts": ("me@cam",)},
    ],
)
def test_a_limit_that_cannot_be_read_is_refused(limits: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(SourceError, match=f"ingest.{next(iter(limits))}: expected"):
        SourcePolicy(**limits)


# Files


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder that is allowed, and one beside it, each with a clip."""
    allowed, other = tmp_path / "films", tmp_path / "films2"
    for folder in (allowed, other):
        folder.mkdir()
        write_clip(folder / "clip.mp4", num_frames=3)
    return allowed, other


def test_a_file_in_an_allowed_folder_is_opened(folders: tuple[Path, Path]) -> None:
    policy = SourcePolicy(folders=(folders[0],))
    (folders[0] / "link.mp4").symlink_to(folders[0] / "clip.mp4")
    for name in ("clip.mp4", "link.mp4", "../films/clip.mp4"):
        with open_source(str(folders[0] / name), policy=policy) as source:
            assert len(list(source)) == 3
    policy.check(parse_address(f"replay:{folders[0]}/front"))


OUT = ["../films2/clip.mp4", "link.mp4", "linked/clip.mp4", "/etc/hostname"]
ENCODED = ["%2e%2e/films2/clip.mp4", "..%2ffilms2%2fclip.mp4", "%6cink.mp4"]


@pytest.mark.parametrize(
    ("form", "name"),
    [(form, name) for form in ("{}", "file://{}", "replay:{}") for name in OUT] + [("file://{}", name) for name in ENCODED],
)
def test_no_way_leads_out_of_an_allowed_folder(folders: tuple[Path, Path], form: str, name: str) -> None:
    allowed, other = folders
    (allowed / "link.mp4").symlink_to(other / "clip.mp4")
    (allowed / "linked").symlink_to(other)
    with pytest.raises(SourceError, match=r"not in a folder of ingest\.folders"):
        open_source(form.format(os.path.join(allowed, name)), policy=SourcePolicy(folders=(allowed,)))


def test_the_folders_of_an_address_cannot_be_widened_by_a_relative_one(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders[1])
    assert "ingest.folders" in refused("clip.mp4", SourcePolicy(folders=(folders[0],)))


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(SourceError):
        open_source(str(tmp_path / "a"))


def test_devices_pipes_and_the_systems_own_files_are_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock.mp4"))
        for path in (tmp_path / "fifo.mp4", tmp_path / "sock.mp4"):
            assert "expected a file, got a device, a pipe or a socket" in refused(str(path))
    for url in (
        str(tmp_path / "zero.mp4"),
        "/dev/stdin",
        "/proc/self/environ",
        "file:///proc/self/mem",
        "/sys/kernel/uevent_seqnum",
    ):
        assert "got a part of the system" in refused(url), url


def test_a_check_needs_no_file_to_be_there(tmp_path: Path) -> None:
    address = parse_address(str(tmp_path / "later.mp4"))
    assert SourcePolicy().check(address) == Address("file", address.url, str(tmp_path / "later.mp4"))
