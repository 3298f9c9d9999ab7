"""Thoughts and answer told apart while they stream: models that think write `<think>…</think>` before the answer."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


class Thinking:
    """Splits a stream of text; what may be the beginning of a tag is held back until that is known.

    Only a tag at the answer's very beginning counts. A template that opens the tag in the prompt leaves only the
    closing one, which is not seen here but when the answer is whole (`wire.split_thinking`).
    """

    def __init__(self) -> None:
        self._held = ""
        self._where = "start"

    def feed(self, text: str) -> tuple[str, str]:
        """The thoughts and the answer that these characters add."""
        self._held += text
        if self._where == "start":
            bare = self._held.lstrip()
            if _OPEN.startswith(bare):
                return "", ""
            self._where = "thoughts" if bare.startswith(_OPEN) else "answer"
            self._held = bare.removeprefix(_OPEN) if self._where == "thoughts" else self._held
        thoughts = self._thoughts() if self._where == "thoughts" else ""
        if self._where != "thoughts":
            answer, self._held = self._held, ""
            if self._where == "closed":  # the space between the thoughts and the answer is neither's
                answer = answer.lstrip()
                self._where = "answer" if answer else "closed"
            return thoughts, answer
        return thoughts, ""

    def end(self) -> tuple[str, str]:
        """What was held back: no tag came of it."""
        held, self._held = self._held, ""
        return (held, "") if self._where == "thoughts" else ("", held)

    def _thoughts(self) -> str:
        thoughts, closed, rest = self._held.partition(_CLOSE)
        if closed:
            self._where, self._held = "closed", rest
            return thoughts
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if thoughts.endswith(_CLOSE[:n])), 0)
        self._held = thoughts[len(thoughts) - keep :]
        return thoughts[: len(thoughts) - keep]
