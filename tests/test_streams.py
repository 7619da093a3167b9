"""Bytes from paths, pipes and objects, compressed or not; and how their end is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from tcpstates.capture import streams
from tcpstates.capture.streams import Stream, open_stream, source_name
from tcpstates.errors import CaptureError, CapturePermissionError, ExitCode

CONTENT = random.Random(1).randbytes(300_000) + bytes(300_000)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def lz4_frame(data: bytes) -> bytes:
    return lz4.frame.compress(data, content_checksum=True)


COMPRESS = {"gzip": gzip.compress, "zstd": zstd, "lz4": lz4_frame, "xz": lzma.compress, "bzip2": bz2.compress}


def rest_of(stream: Stream, size: int = 70_000) -> bytes:
    """All that the stream gives, read in pieces."""
    target, data = bytearray(size), bytearray()
    while count := stream.readinto(memoryview(target)):
        data += target[:count]
    return bytes(data)


@pytest.mark.parametrize("size", [1, 1000, 70_000])
@pytest.mark.parametrize("compress", [bytes, *COMPRESS.values()])
def test_the_content_is_the_same_however_it_is_stored_and_read(tmp_path: Path, compress, size: int) -> None:
    path = tmp_path / "some"
    content = CONTENT[299_000:301_000] if size == 1 else CONTENT
    path.write_bytes(compress(content))

    stream = open_stream(path)

    assert rest_of(stream, size) == content
    assert stream.failure is None
    assert stream.bytes_read == stream.bytes_total == path.stat().st_size


@pytest.mark.parametrize(
    "stored",
    [
        gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]),
        b"".join(gzip.compress(CONTENT[at : at + 1000]) for at in range(0, len(CONTENT), 1000)),
        gzip.compress(CONTENT) + bytes(10_000),
        zstd(CONTENT[:1000]) + zstd(CONTENT[1000:]),
        b"\x5a\x2a\x4d\x18\x04\0\0\0skip" + zstd(CONTENT),
    ],
    ids=["gzip members", "many gzip members", "padded gzip", "zstd frames", "zstd after a skippable frame"],
)
def test_members_follow_one_another(stored: bytes) -> None:
    stream = open_stream(io.BytesIO(stored))
    assert rest_of(stream) == CONTENT
    assert stream.failure is None


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_data_that_ends_early_gives_what_it_held(name: str) -> None:
    stored = COMPRESS[name](CONTENT)
    for end in (len(stored) - 1, len(stored) - 9, len(stored) // 2):
        stream = open_stream(io.BytesIO(stored[:end]))
        content = rest_of(stream)
        assert CONTENT.startswith(content)
        assert len(content) >= len(CONTENT) // 4 or name == "bzip2"  # whose blocks are longer than that
        assert stream.failure == f"the {name} data ends early"


@pytest.mark.parametrize("name", COMPRESS)
def test_corrupt_data_gives_what_came_before(name: str) -> None:
    stored = bytearray(COMPRESS[name](CONTENT))
    stored[-6 if name == "bzip2" else -1] ^= 0xFF  # a length, a checksum, or a magic number
    stream = open_stream(io.BytesIO(bytes(stored)))
    content = rest_of(stream)
    assert CONTENT.startswith(content)
    assert len(content) >= len(CONTENT) // 4 or name == "bzip2"
    assert stream.failure is not None
    assert f"the {name} data is corrupt (" in stream.failure
    assert rest_of(stream) == b""  # and it stays ended


def test_what_follows_gzip_and_is_not_gzip_is_told() -> None:
    stream = open_stream(io.BytesIO(gzip.compress(CONTENT) + b"anything else"))
    assert CONTENT.startswith(rest_of(stream))
    assert stream.failure is not None


def test_xz_that_asks_for_much_memory_is_refused() -> None:
    greedy = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 30}])
    stream = open_stream(io.BytesIO(greedy))
    assert rest_of(stream) == b""
    assert stream.failure is not None
    assert "emory usage limit" in stream.failure


@pytest.mark.parametrize(
    "compress", [lambda data: zlib.compress(data, 9, wbits=31), zstd, lz4_frame, lzma.compress, bz2.compress]
)
def test_data_made_to_swell_is_not_held_whole(compress) -> None:
    stream = open_stream(io.BytesIO(compress(bytes(1 << 28))))
    target = memoryview(bytearray(1 << 16))
    tracemalloc.start()
    for _ in range(1000):
        assert stream.readinto(target)
    assert tracemalloc.get_traced_memory()[1] < 150 << 20
    tracemalloc.stop()


# --- sources -----------------------------------------------------------------------------------


def test_a_pipe_gives_what_it_holds_without_waiting_for_more() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"first")
    with os.fdopen(reading, "rb") as file:
        stream = open_stream(file)
        target = memoryview(bytearray(100))
        given = stream.readinto(target)
        given += stream.readinto(target[given:])
        assert bytes(target[:given]) == b"first"
        assert stream.bytes_total is None
        os.close(writing)
        assert stream.readinto(target) == 0


class OnlyRead:
    """The least that a file object can be."""

    def __init__(self, data: bytes | str) -> None:
        self.data = data

    def read(self, size: int) -> bytes | str:
        given, self.data = self.data[:size], self.data[size:]
        return given


def test_an_object_that_can_only_read_is_enough() -> None:
    assert rest_of(open_stream(OnlyRead(CONTENT))) == CONTENT  # type: ignore[arg-type]


def test_a_file_that_is_not_ours_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        open_stream(file).close()
        assert not file.closed


def error_of(source: object) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        open_stream(source)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    error = error_of(tmp_path / "none.pcap")
    assert str(error) == f"{tmp_path}/none.pcap: no such file or directory; check the path"
    assert error.exit_code is ExitCode.UNREADABLE


def test_a_directory(tmp_path: Path) -> None:
    assert str(error_of(tmp_path)) == f"{tmp_path}: is a directory; give the captures in it"


def test_a_file_without_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # root would be let through
    error = error_of(tmp_path / "secret.pcap")
    assert isinstance(error, CapturePermissionError)
    assert error.exit_code is ExitCode.NO_PERMISSION
    assert str(error).endswith("secret.pcap: permission denied; read it as a user who may")


@pytest.mark.parametrize("path", ["a\0b", "a\nb", "x" * 5000, ""])
def test_an_impossible_path(path: str) -> None:
    error_of(path)


def test_a_text_file_object_is_not_taken() -> None:
    error = error_of(OnlyRead("text"))
    assert str(error) == "a file object: cannot be read: it gives str, not bytes; open it in binary mode"


def test_a_closed_file_object() -> None:
    file = io.BytesIO()
    file.close()
    assert "closed file" in str(error_of(file))


def test_standard_input_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _self: True})())
    expected = "standard input: is a terminal; pipe a capture into it, or give a path"
    assert str(error_of("-")) == expected


def test_a_disk_that_fails_ends_the_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(CONTENT)
    stream = open_stream(path)

    def fail(*_arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(streams, "_readinto", fail)
    assert rest_of(stream) == CONTENT[:4]
    assert stream.failure == "cannot be read: input/output error"


def test_names_are_one_line() -> None:
    assert source_name("-") == "standard input"
    assert source_name(Path("a.pcap")) == "a.pcap"
    assert source_name("a\nb") == "'a\\nb'"
    assert source_name("a\udcff") == "'a\\udcff'"
    assert source_name(io.BytesIO()) == "a file object"
