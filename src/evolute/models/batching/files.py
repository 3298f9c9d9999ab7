"""Batches by hand: a file for `vllm run-batch`, and the file that comes of it, put beside it.

Source: https://docs.vllm.ai/en/latest/serving/offline_inference.html and `vllm run-batch --help`; the lines are those
of OpenAI's Batch API.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from pathlib import Path

import orjson

from evolute.models.batching import BatchResult, BatchStatus
from evolute.models.batching.lines import Lines, name_of, parsed
from evolute.recipe import ModelSpec
from evolute.records import Request

_ENDPOINT = "/v1/chat/completions"


def say(message: str) -> None:
    """Write a message for the user, who is to run a command."""
    sys.stderr.write(message + "\n")


class FileBatches:
    """Files in `folder`: `NAME.jsonl` holds requests, and `NAME.answers.jsonl` is to hold all of their answers.

    Args:
        spec: the model.
        folder: where the files are.
        tell: is given the command that answers a batch, once for each.
    """

    most_requests = 1_000_000
    most_bytes = 1 << 40

    def __init__(self, spec: ModelSpec, folder: Path, tell: Callable[[str], None] = say) -> None:
        self._spec, self._folder, self._tell = spec, folder, tell
        self._lines = Lines(spec)
        self._told: set[str] = set()
        self._cancelled: set[str] = set()
        self._seen: dict[str, tuple[tuple[int, int], BatchStatus]] = {}

    def line(self, key: str, request: Request) -> bytes:
        """One line of the file.

        Raises:
            RequestRejected: the request cannot be written as JSON.
        """
        body = self._lines.body(request)
        return orjson.dumps({"custom_id": name_of(key, request), "method": "POST", "url": _ENDPOINT, "body": body})

    async def submit(self, name: str, path: Path, count: int) -> str:
        """Tell the user what to run; the batch's id is its name, for the file is all there is."""
        self._tell_once(name, count)
        return name

    async def find(self, name: str, created: float, count: int, known: Collection[str]) -> str | None:
        """The batch called `name`, if its file is there and it is not `known`."""
        return name if name not in known and self._requests(name).is_file() else None

    async def status(self, id: str) -> BatchStatus:
        """How many of a batch's requests the file of answers holds. It has ended when that is all of them."""
        if not self._requests(id).is_file():
            return BatchStatus("failed", 0, 0, 0, f"{self._requests(id)} is not there any more")
        status = self._looked_at(id)
        if status.state == "running":
            self._tell_once(id, status.total)
        return status

    async def results(self, id: str) -> AsyncIterator[BatchResult]:
        """What the file of answers holds, be it all or a part. Lines that cannot be read are left out."""
        answers = self._answers(id)
        if answers.is_file():
            with answers.open("rb") as file:
                for line in file:
                    if (result := self._lines.openai(line)) is not None:
                        yield result

    async def cancel(self, id: str) -> None:
        """Wait no longer for a batch's answers."""
        self._cancelled.add(id)

    def command(self, id: str) -> str:
        """The command line that answers a batch."""
        parts = ("vllm", "run-batch", "-i", str(self._requests(id)), "-o", str(self._answers(id)))
        return shlex.join((*parts, "--model", self._spec.model))

    def _looked_at(self, id: str) -> BatchStatus:
        """The status by what is in the files; they are read again only where the answers have changed."""
        answers = self._answers(id)
        found = answers.stat() if answers.is_file() else None
        mark = (found.st_size, found.st_mtime_ns) if found else (0, 0)
        if id not in self._seen or self._seen[id][0] != mark:
            asked, _ = _names(self._requests(id))
            given, unread = _names(answers) if found else (set[str](), 0)
            done = len(asked & given)
            if done < len(asked) and (strange := len(given - asked) + unread):
                self._tell(
                    f"{answers}: {strange:,} of its lines answer no request of this batch ({unread:,} are no JSON with "
                    f"a custom_id); it wants the answers to {self._requests(id).name}"
                )
            status = BatchStatus("running", done, 0, len(asked), self.command(id))
            self._seen[id] = mark, status if done < len(asked) else replace(status, state="ended")
        status = self._seen[id][1]
        if id in self._cancelled and status.state == "running":
            return BatchStatus("cancelled", status.done, 0, status.total, status.detail)
        return status

    def _tell_once(self, id: str, count: int) -> None:
        if id not in self._told:
            self._told.add(id)
            self._tell(
                f"Requests to be answered: {count:,}, in {self._requests(id)}. Where vLLM runs, answer them with\n"
                f"    {self.command(id)}\n"
                f"The run goes on once every answer is in {self._answers(id)}. You may leave it until then."
            )

    def _requests(self, name: str) -> Path:
        return self._folder / f"{name}.jsonl"

    def _answers(self, name: str) -> Path:
        return self._folder / f"{name}.answers.jsonl"


def _names(path: Path) -> tuple[set[str], int]:
    """The `custom_id`s in a file's lines that are JSON (of an answer cut short the id would be there, too).

    And how many lines have none, but for a last one that is still being written.
    """
    names, without = set(), 0
    with path.open("rb") as file:
        for line in file:
            name = parsed(line).get("custom_id")
            if isinstance(name, str):
                names.add(name)
            elif line.endswith(b"\n") and not line.isspace():
                without += 1
    return names, without
