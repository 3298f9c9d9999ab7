"""What our path costs the embedded model. Run: python benchmarks/embedded.py [--requests N].

The same evolver's requests, 16 at a time, go through the client, the ledger and the recall of recorded calls, and
straight to the llama.cpp server that the embedded model starts; in turns (ours, straight, straight, ours), for a
machine drifts.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson
import uvloop

from common import say, seed_texts, table, verdict
from evolute.ledger import Ledger
from evolute.models.embedded import SLOTS, Embedded
from evolute.models.recording import Recalled, Recorded
from evolute.models.wire import Terms, encode
from evolute.operations import load_operations
from evolute.recipe import ModelSpec
from evolute.records import Request

SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 96}
SPEC = ModelSpec(api="embedded")
LIMIT = 900  # seconds; on a machine that is busy with other work, llama.cpp's threads wait for each other for ever
ORDER = ("ours", "straight", "straight", "ours")


def requests(count: int) -> list[Request]:
    operation = load_operations()["add-constraints"]
    return [
        Request("evolver", operation.messages(text, draw=draw, demonstrations=True), SPEC.identity, draw, SAMPLING)
        for draw, text in enumerate(seed_texts(count))
    ]


async def rate(asked: list[Request], ask: Callable[[Request], Awaitable[int]]) -> float:
    """Generated tokens a second, with `SLOTS` requests in flight; `ask` tells the tokens of one."""
    slots = asyncio.Semaphore(SLOTS)

    async def one(request: Request) -> int:
        async with slots:
            return await ask(request)

    start = time.perf_counter()
    tokens = sum(await asyncio.gather(*map(one, asked)))
    return tokens / (time.perf_counter() - start)


async def ours(embedded: Embedded, asked: list[Request], run: Path) -> float:
    with Ledger(run) as ledger:
        ledger.add_model("evolver", SPEC.identity, SPEC.model)
        model = Recalled(Recorded(embedded, ledger, SPEC.model), ledger)

        async def ask(request: Request) -> int:
            return (await model.complete(request)).usage.completion

        return await rate(asked, ask)


async def straight(embedded: Embedded, asked: list[Request]) -> float:
    chat = SPEC.model_copy(update={"api": "chat"})
    bodies = {request.draw: encode(chat, request, Terms()) for request in asked}
    headers = {"Authorization": f"Bearer {embedded.key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout()) as session:

        async def ask(request: Request) -> int:
            async with session.post(f"{embedded.base_url}/chat/completions", data=bodies[request.draw]) as reply:
                return orjson.loads(await reply.read())["usage"]["completion_tokens"]

        return await rate(asked, ask)


async def compare(count: int, folder: Path) -> None:
    asked = requests(count)
    rates: dict[str, list[float]] = {"ours": [], "straight": []}
    async with asyncio.timeout(LIMIT), Embedded(SPEC) as embedded:
        await straight(embedded, asked[:SLOTS])  # the first requests find cold caches
        for turn, way in enumerate(ORDER):
            found = await (ours(embedded, asked, folder / str(turn)) if way == "ours" else straight(embedded, asked))
            rates[way].append(found)
            say(f"{way}: {found:.1f} tokens/s")
    means = {way: sum(found) / len(found) for way, found in rates.items()}
    rows = [(way, means[way], means[way] / means["straight"]) for way in ("straight", "ours")]
    table(f"Embedded model: {count} requests, {SLOTS} at a time", ("way", "tokens/s", "of the straight way"), rows)
    print(f"\nof the tokens/s of the same requests sent straight: {verdict(means['ours'] / means['straight'], 0.95)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=64)
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as folder:
        uvloop.run(compare(parser.parse_args().requests, Path(folder)))


if __name__ == "__main__":
    main()
