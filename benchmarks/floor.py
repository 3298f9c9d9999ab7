"""The floor: a bare aiohttp loop that makes the calls of an evolution and keeps only their texts.

Run by throughput.py as `python floor.py SEEDS IN_FLIGHT EVOLUTIONS URL`. Its prompts are those of our operations, so
that the same bytes travel; it has no ledger, no rules, no pacing, no retries and no progress.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import orjson
import uvloop

from evolute.operations import load_operations

SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 2048}


async def evolve(seeds: list[str], in_flight: int, evolutions: int, url: str) -> list[list[str]]:
    """Each seed's texts, oldest first."""
    families = ("in-depth", "in-breadth")
    operations = [operation for operation in load_operations().values() if operation.family in families]
    slots = asyncio.Semaphore(in_flight)
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call(parent: str, draw: int) -> str:
            messages = operations[draw % len(operations)].messages(parent, draw=draw)
            turns = [{"role": message.role, "content": message.content} for message in messages]
            body = orjson.dumps({"model": "mock", "messages": turns, "seed": draw, **SAMPLING})
            async with slots, session.post(f"{url}/chat/completions", data=body) as reply:
                return orjson.loads(await reply.read())["choices"][0]["message"]["content"]

        async def one(number: int, seed: str) -> list[str]:
            texts = [seed]
            for step in range(evolutions):
                texts.append(await call(texts[-1], number * evolutions + step))
            return texts

        return await asyncio.gather(*(one(number, seed) for number, seed in enumerate(seeds)))


def main() -> None:
    seeds, in_flight, evolutions, url = sys.argv[1:]
    texts = [orjson.loads(line)["instruction"] for line in Path(seeds).read_bytes().splitlines()]
    grown = uvloop.run(evolve(texts, int(in_flight), int(evolutions), url))
    print(f"{sum(len(path) - 1 for path in grown)} calls")


if __name__ == "__main__":
    main()
