"""How close the client comes to what a misbehaving endpoint allows: `python benchmarks/hostile.py [REQUESTS]`.

A loopback server in its own process allows 500 requests a second (429 with Retry-After beyond) and fails in each way
that endpoints fail; every request goes through `Paced(Http)` with a read timeout of 2 s. The ideal is the requests at
the allowed rate plus two timeouts. No request may vanish, and every failure must be typed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter

import aiohttp

from evolute.errors import EvoluteError
from evolute.models.http import Http
from evolute.models.pacing import Paced
from evolute.recipe import ModelSpec
from evolute.records import Message, Request

RATE, TIMEOUT = 500, 2.0
FAULTS = "--error .05 --reset .02 --hang .02 --null .01 --empty .01 --cut .01 --not-json .01"
CASES = {
    "limit only": f"--rate {RATE} --latency .05",
    "5 % random 429s": f"--rate {RATE} --latency .05 --too-many .05",
    "20 % random 429s": f"--rate {RATE} --latency .05 --too-many .2",
    "hostile": f"--rate {RATE} --latency .05 {FAULTS}",
    "hostile, slow": f"--rate {RATE} --latency .2 {FAULTS}",
    "hostile, 5 % random 429s": f"--rate {RATE} --latency .05 {FAULTS} --too-many .05",
    "hostile, 20 % random 429s": f"--rate {RATE} --latency .05 {FAULTS} --too-many .2",
    "20 % random 429s, no limit": "--latency .05 --too-many .2 --retry-after .05",
}


async def drive(base_url: str, requests: int, *, trace: bool = False) -> dict[str, object]:
    spec = ModelSpec(base_url=base_url, model="loopback", read_timeout=TIMEOUT)
    ends: Counter[str] = Counter()
    async with Http(spec) as http:
        paced = Paced(http, spec)

        async def one(number: int) -> None:
            try:
                completion = await paced.complete(
                    Request("evolver", (Message("user", f"Seed {number}."),), b"", number)
                )
                ends[completion.failure or "text"] += 1
            except EvoluteError as error:
                ends[type(error).__name__] += 1

        async def watch() -> None:
            while trace:
                print(f"  {paced.in_flight=} {paced.limit=} {paced.rate_cap=} {paced.waiting=} {dict(paced.retries)}")
                await asyncio.sleep(0.5)

        started = time.perf_counter()
        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(one(number) for number in range(requests)))
        seconds = time.perf_counter() - started
        watcher.cancel()
    async with aiohttp.ClientSession() as session, session.get(base_url.removesuffix("/v1") + "/stats") as response:
        statuses = (await response.json())["statuses"]
    ideal = requests / RATE
    return {
        "seconds": round(seconds, 2),
        "÷ ideal": round(seconds / ideal, 2),
        "÷ (1.6 × ideal + 2 timeouts)": round(seconds / (1.6 * ideal + 2 * TIMEOUT), 2),
        "ends": dict(ends),
        "tries": sum(statuses.values()),
        "limit": paced.limit,
        "cap": paced.rate_cap and round(paced.rate_cap),
        "retries": dict(paced.retries),
    }


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    chosen = [name for name in sys.argv[2:] if name != "-v"] or list(CASES)
    for name in chosen:
        command = [sys.executable, "-m", "evolute.models.loopback", *CASES[name].split()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                base_url = server.stdout.readline().strip()
                print(name, asyncio.run(drive(base_url, requests, trace="-v" in sys.argv)), flush=True)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
