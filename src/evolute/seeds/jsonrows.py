"""The rows of one JSON document, decoded one after another, so that a list of any length passes through a small buffer.

The standard library's C scanner decodes a value at a position of a string; this keeps that string filled.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from evolute.seeds.blocks import LONGEST_ROW
from evolute.seeds.options import Broken, FileProblem, cut

_SPACE = re.compile(r"[ \t\n\r]*")
_LIST = re.compile(r"\[[ \t\n\r]*(\S)")
_TAIL = 12  # a value that is merely cut off fails no further than this from the end of the buffer (`\ud83d\ude00`)

# Lists that stand inside one row: a document `{"messages": […]}` is a row, not a list of rows.
TURN_COLUMNS = ("messages", "conversations", "conversation", "turns")
_WITHIN_A_ROW = (*TURN_COLUMNS, "instances", "history")


class JsonRows:
    """Iterates over (row number from 1, row) of a list, of an object that holds one list of rows, or of one row."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._line = 1  # of the buffer's first character
        self._ended = False
        self._undecodable = False

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        if self._peek() == "[":
            yield from self._list()
        else:
            yield from self._objects()
        if self._peek():
            raise self._broken("more text after the end of the JSON", self._at)

    def _list(self) -> Iterator[tuple[int, Any]]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        number = 0
        while True:
            number += 1
            yield number, self._row()
            mark = self._peek()
            if mark not in (",", "]"):
                raise self._broken(f"expecting ',' or ']' after row {number}", self._at)
            self._at += 1
            if mark == "]":
                return

    def _objects(self) -> Iterator[tuple[int, Any]]:
        """One object that holds the rows, or objects one after another that are the rows."""
        number = 0
        while self._peek() == "{" or not number:
            number += 1
            fields = yield from self._object()
            if fields is None:
                return
            yield number, fields

    def _object(self) -> Generator[tuple[int, Any], None, dict[str, Any] | None]:
        """Gives the rows of the list within, and returns None; or returns the object's fields where it holds none."""
        self._expect("{")
        fields: dict[str, Any] = {}
        rows_in = ""
        while self._peek() != "}":
            if fields or rows_in:
                self._expect(",")
            self._peek()
            key = str(self._value())
            self._expect(":")
            if self._peek() == "[" and key.lower() not in _WITHIN_A_ROW and self._begins_rows():
                if rows_in:
                    why = f"holds two lists of rows, {rows_in!r} and {key!r}; put each into a file of its own"
                    raise FileProblem(why, self._line_at(self._at))
                rows_in = key
                yield from self._list()
            else:
                fields[key] = self._value()
        self._at += 1
        return None if rows_in else fields

    def _begins_rows(self) -> bool:
        """Whether the list at the cursor begins with an object."""
        while (match := _LIST.match(self._text, self._at)) is None:
            if not self._more():
                return False
        return match[1] == "{"

    def _row(self) -> Any:  # noqa: ANN401 - JSON's own type
        value, raw = self._decode()
        if self._undecodable and (hidden := re.search("[\udc80-\udcff]", raw)):
            # A file that is not UTF-8 still has rows: only those that hold such bytes are set aside.
            byte = ord(hidden[0]) - 0xDC00
            return Broken(f"byte 0x{byte:02x} is not UTF-8; convert it: iconv -f LATIN1 -t UTF-8 FILE > NEW", raw)
        return value

    def _value(self) -> Any:  # noqa: ANN401 - JSON's own type
        return self._decode()[0]

    def _decode(self) -> tuple[Any, str]:
        """The value at the cursor and its text (the text only where it may hide undecodable bytes)."""
        self._peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut_off = error.pos >= len(self._text) - _TAIL or error.msg.startswith("Unterminated string")
                if not (cut_off and self._more()):
                    raise self._broken(error.msg, error.pos) from None
            except RecursionError:
                raise self._broken("nested too deeply", self._at) from None
            else:
                # A number at the buffer's end may go on in the next block.
                if end == len(self._text) and self._more():
                    continue
                raw = self._text[self._at : end] if self._undecodable else ""
                self._at = end
                return value, raw

    def _peek(self) -> str:
        """Move to the next character that is not white space, and return it; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches always
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            raise self._broken(f"expecting {mark!r}", self._at)
        self._at += 1

    def _more(self) -> bool:
        """Drop what was consumed and at least double what was not, so that a long row is scanned few times.

        Where there is nothing more, nothing moves.
        """
        left = len(self._text) - self._at
        if left > LONGEST_ROW:
            raise FileProblem(f"broken JSON: a value of more than {LONGEST_ROW >> 20} MB", self._line_at(self._at))
        parts: list[str] = []
        gained = 0
        while gained <= left and not self._ended:
            block = next(self._blocks, None)
            self._ended = block is None
            parts.append(self._decoder.decode(block or b"", final=self._ended))
            gained += len(parts[-1])
            self._undecodable = self._undecodable or not _is_clean(parts[-1])
        if gained:
            self._line = self._line_at(self._at)
            self._text = self._text[self._at :] + "".join(parts)
            self._at = 0
        return gained > 0

    def _line_at(self, at: int) -> int:
        return self._line + self._text.count("\n", 0, at)

    def _broken(self, why: str, at: int) -> FileProblem:
        column = at - self._text.rfind("\n", 0, at)
        found = cut(self._text[at : at + 40]) if at < len(self._text) else "the end of the file"
        return FileProblem(f"broken JSON: {why} at column {column}, found {found}", self._line_at(at))


def _is_clean(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
