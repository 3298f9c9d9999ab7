"""Bytes in, blocks of UTF-8 out: gzip, byte-order marks and UTF-16 are undone here, and nothing is ever read whole."""

from __future__ import annotations

import codecs
import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import chain
from pathlib import Path

from evolute.seeds.options import FileProblem

BLOCK = 1 << 18
HEAD = 1 << 16  # bytes looked at to tell the format
LONGEST_ROW = 64 << 20  # a line or row beyond this is a file gone wrong, not data

_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_DATA = {
    b"PK\x03\x04": "a ZIP archive or an Office file; unpack it, or save the sheet as CSV",
    b"%PDF": "a PDF; copy its instructions into a text file, one a line",
    b"\x89PNG": "a PNG image; seeds are text",
    b"\xff\xd8\xff": "a JPEG image; seeds are text",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it with `zstd -d`",
    b"\xfd7zXZ": "compressed with xz; unpack it with `unxz`",
    b"BZh": "compressed with bzip2; unpack it with `bunzip2`",
    b"SQLite format 3": "an SQLite database; export its table as CSV",
    b"ARROW1": "an Arrow file; save it as Parquet",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def read_blocks(path: Path | None) -> Iterator[bytes]:
    """Blocks of the file's text in UTF-8, without a byte-order mark; `None` is standard input.

    The first block has at least `HEAD` bytes, or the whole file.

    Raises:
        FileProblem: it cannot be opened or read to its end.
    """
    try:
        if path is None:
            # Not sys.stdin.buffer: Python aborts if, when it ends, a thread still waits in that one for input.
            with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
                yield from _utf8(_chunks(stream))
        else:
            with path.open("rb") as stream:
                yield from _utf8(_chunks(stream))
    except OSError as error:
        raise FileProblem(f"cannot be read: {error.strerror or error}") from None


def _chunks(stream: BufferedReader) -> Iterator[bytes]:
    source = gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == _GZIP else stream
    try:
        while chunk := source.read1(BLOCK):  # read1, unlike read, gives what came before the damage
            yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileProblem(f"the gzip stream is damaged or cut off ({error}); fetch the file again") from None


def _utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if encoding != "utf-8":
                yield from _decoded(chain([head], chunks), encoding)
                return
            head = head[len(mark) :]
            break
    yield head
    yield from chunks


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise FileProblem(f"broken {encoding.upper()} ({error.reason}); save it as UTF-8") from None


def refuse_binary(head: bytes) -> None:
    """Raise FileProblem, with a remedy, for the beginning of a file that is not text (Parquet aside)."""
    for magic, what in _NOT_DATA.items():
        if head.startswith(magic):
            raise FileProblem(f"is {what}")
    start = head[:8192]
    if start.count(0) * 3 > len(start):
        raise FileProblem("looks like UTF-16 without its mark; convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW")
    if len(_CONTROL.findall(start)) * 10 > len(start):
        raise FileProblem("is a binary file of a kind that is not known here; seeds are JSON, CSV, Parquet or text")


def lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines of a text, without their `\n`."""
    carry: list[bytes] = []
    held = number = 0
    for block in blocks:
        first, *rest = block.split(b"\n")
        carry.append(first)
        held += len(first)
        if rest:
            last = rest.pop()
            yield b"".join(carry)
            yield from rest
            number += 1 + len(rest)
            carry, held = [last], len(last)
        elif held > LONGEST_ROW:
            raise FileProblem(f"a line of more than {LONGEST_ROW >> 20} MB; is this a list of rows?", number + 1)
    if held:
        yield b"".join(carry)


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why a line cannot be decoded, and the remedy."""
    return (
        f"byte 0x{error.object[error.start]:02x} at byte {error.start + 1} of the line is not UTF-8; if the file is"
        " Latin-1 (or name its encoding): iconv -f LATIN1 -t UTF-8 FILE > NEW"
    )
