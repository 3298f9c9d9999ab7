"""An encoder behind an OpenAI-compatible `/embeddings` endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from evolute.encoders import Vectors
from evolute.errors import BadReply, CallFailed, EndpointGone, EvoluteError, RequestRejected, Stopped
from evolute.models.embeddings import Embeddings, EmbeddingsHttp, embeddings_request
from evolute.models.pacing import Paced
from evolute.recipe import ModelSpec
from evolute.records import Usage, tagged_hash

BATCH = 32
"""Texts in a request: the most that text-embeddings-inference takes as it comes."""
LONGEST = 20_000
"""Characters of a text that are sent; more is beyond what embedding models read (8,192 tokens at most)."""
AT_ONCE = 16
"""Requests in flight, where the recipe names no number."""


class VectorStore(Protocol):
    """Where vectors are remembered, so that none is paid for twice.

    Keys are 16 bytes; values are a vector of length 1 as little-endian float32. Both methods are called from the
    thread that called `encode`, or, where an event loop runs in it, `put` from another while that one waits.
    """

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """What is known of these keys."""
        ...

    def put(self, items: Mapping[bytes, bytes]) -> None:
        """Remember a request's vectors, durably; called once for each answer, as soon as it came."""
        ...


class EndpointEncoder:
    """Asks an endpoint for vectors: `BATCH` different texts a request, several requests at once, each answer kept.

    A text without anything but spaces is not sent; its vector is all zero. When a request fails for good, no other
    is begun, those in flight are awaited and kept, and the error is raised: with a `store`, going on costs only
    what is missing.

    Args:
        spec: the model: `api: chat` (or completions), `base_url`, `model`; `concurrency`, rate limits and `retries`
            hold as for completions, and `extra_body` may hold `dimensions`.
        store: remembers the vectors; without one, they are kept only in the answer.
        batch: texts in a request.

    Attributes:
        usage: tokens that the endpoint counted so far.
        calls: requests that were answered so far.

    Raises:
        InputError: the model is none that has such an endpoint.
        AuthenticationFailed: the key's variable is unset.
    """

    def __init__(self, spec: ModelSpec, store: VectorStore | None = None, *, batch: int = BATCH) -> None:
        EmbeddingsHttp(spec)  # raises at once what could only fail later
        self.name = spec.model
        self.identity = f"{spec.model} {spec.identity.hex()}"
        self.usage = Usage()
        self.calls = 0
        self.dimensions: int | None = None
        self._spec, self._store, self._batch = spec, store, batch

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A row per text, in order, each of length 1.

        It may be called where an event loop runs (in a notebook, say), which then waits.

        Raises:
            EndpointError: the endpoint cannot serve, failed more often than `retries` allows, or gave vectors that
                fit neither the texts nor each other.
            RequestRejected: the endpoint does not take one of the texts.
        """
        sent = [text.strip()[:LONGEST] for text in texts]
        keys = [tagged_hash("embedding-1", self._spec.identity, text) if text else b"" for text in sent]
        wanted = dict(zip(keys, sent, strict=True))
        wanted.pop(b"", None)
        found: dict[bytes, Vectors] = {}
        if self._store is not None:
            for key, raw in self._store.get(list(wanted)).items():
                found[key] = self._fitting(np.frombuffer(raw, dtype="<f4").astype(np.float32))
        missing = [(key, text) for key, text in wanted.items() if key not in found]
        if missing:
            self._answered(missing, found)
        vectors = np.zeros((len(texts), self.dimensions or 0), dtype=np.float32)
        for row, key in enumerate(keys):
            if key:
                vectors[row] = found[key]
        return vectors

    def _answered(self, missing: list[tuple[bytes, str]], found: dict[bytes, Vectors]) -> None:
        """Ask for what is missing, on a thread of its own where this one has a running loop."""
        problems: list[EvoluteError] = []
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._ask(missing, found, problems))
            return
        with ThreadPoolExecutor(1, "evolute-encode") as pool:
            future = pool.submit(lambda: asyncio.run(self._ask(missing, found, problems)))
            try:
                future.result()
            except KeyboardInterrupt:
                problems.append(Stopped("interrupted"))  # no other request begins; those in flight are kept
                raise

    async def _ask(
        self, missing: list[tuple[bytes, str]], found: dict[bytes, Vectors], problems: list[EvoluteError]
    ) -> None:
        batches = (missing[start : start + self._batch] for start in range(0, len(missing), self._batch))
        async with EmbeddingsHttp(self._spec) as http:
            paced = Paced(http, self._spec)
            workers = min(self._spec.concurrency or AT_ONCE, -(-len(missing) // self._batch))
            await asyncio.gather(*(self._work(batches, paced, found, problems) for _ in range(workers)))
        if problems:
            raise problems[0]

    async def _work(
        self,
        batches: Iterator[list[tuple[bytes, str]]],
        paced: Paced,
        found: dict[bytes, Vectors],
        problems: list[EvoluteError],
    ) -> None:
        for batch in batches:
            if problems:
                return
            try:
                answer = await paced.complete(embeddings_request([text for _, text in batch], self._spec))
                found.update(self._kept(batch, answer))
            except RequestRejected as problem:
                longest = max((text for _, text in batch), key=len)
                problems.append(
                    RequestRejected(
                        f"{problem}. The request had {len(batch)} texts; the longest has {len(longest):,} characters "
                        f"and begins {longest[:60]!r}",
                        status=problem.status,
                    )
                )
            except CallFailed as problem:
                problems.append(EndpointGone(self._obituary(problem)))
            except EvoluteError as problem:
                problems.append(problem)

    def _obituary(self, problem: CallFailed) -> str:
        kept = (
            "The vectors that came are kept" if self._store is not None else "Nothing remembers the vectors that came"
        )
        on = "run the same command to go on with the rest" if self._store is not None else "encode again from the start"
        return (
            f"the encoder {self.name!r} at {self._spec.base_url} failed after "
            f"{self._spec.retries} retries: {str(problem).rstrip('.')}. {kept}; when the endpoint serves again, {on}."
        )

    def _kept(self, batch: list[tuple[bytes, str]], answer: object) -> dict[bytes, Vectors]:
        """The vectors of an answer, counted and remembered."""
        if not isinstance(answer, Embeddings):
            raise TypeError(f"an embeddings endpoint answered {type(answer).__name__}")
        self.calls += 1
        self.usage = Usage(prompt=self.usage.prompt + answer.usage.prompt)
        wide = answer.vectors.astype(np.float64)
        rows = (wide / np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]).astype(np.float32)
        vectors = {key: self._fitting(row) for (key, _), row in zip(batch, rows, strict=True)}
        if self._store is not None:
            self._store.put({key: row.astype("<f4").tobytes() for key, row in vectors.items()})
        return vectors

    def _fitting(self, vector: Vectors) -> Vectors:
        """The vector itself, if it is as long as those before it."""
        if self.dimensions is None:
            self.dimensions = len(vector)
        if len(vector) != self.dimensions:
            raise BadReply(
                f"{self._spec.base_url} ({self._spec.model}) gave vectors of {self.dimensions} numbers and now of "
                f"{len(vector)}: the model behind that name has changed. Name the model anew, or set "
                f"extra_body.dimensions, and encode again."
            )
        return vector
