"""Server-sent events as chat endpoints send them (WHATWG HTML, 9.2.6): bytes in, the events' data out."""

from __future__ import annotations

LONGEST = 1 << 24
"""Bytes of one line, beyond which what comes is no event stream: 16 MiB."""


class Events:
    """Reads a stream of events, however it is cut. Lines end in CR, LF or both; comments and other fields are skipped.

    An event is its `data` lines, with line feeds between. One that the stream's end cut off is dropped, as the
    standard says; bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._begun = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of the events that these bytes complete.

        Raises:
            ValueError: a line is longer than `LONGEST`.
        """
        # A CR at the end may be half of a CRLF: it waits for what follows. Splitting bytes splits no character.
        whole = self._rest + chunk
        held = whole.endswith(b"\r")
        lines = (whole[:-1] if held else whole).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        if len(self._rest) > LONGEST:
            raise ValueError(f"a line of more than {LONGEST:,} bytes")
        return [data for line in lines if (data := self._line(line)) is not None]

    def _line(self, raw: bytes) -> str | None:
        line = raw.decode("utf-8", "replace")
        if not self._begun:
            self._begun, line = True, line.removeprefix("\ufeff")
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        return None
