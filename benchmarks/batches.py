"""Batch mode: 100,000 requests. Run: python benchmarks/batches.py [--seeds N] [--lineages N] [--aim SECONDS].

N seeds x 2 evolutions, evolver only, every rule on, through OpenAI's Files and Batches of the loopback server, which
has a process of its own and ends a batch as soon as it is made. The ideal beside it: files with as many requests are
written, uploaded, made into batches, and their results are downloaded and read, by the same client, with no lineages
and no ledger. Memory is sampled four times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from common import EVOLVER_ONLY, MEBIBYTE, evolute, say, seed_texts, table, verdict, write_seeds
from evolute.models.batching.opening import open_provider
from evolute.operations import load_operations
from evolute.recipe import BatchSpec, ModelSpec
from evolute.records import Message, Request

ROUNDS, SIZE, SECONDS = 2, 10_000, 2.0


@contextmanager
def server() -> Iterator[str]:
    """The loopback server; its base URL."""
    command = [sys.executable, "-m", "evolute.models.loopback", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def seen(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=60) as reply:
        return json.load(reply)["batches"]


def batched(url: str, seeds: Path, out: Path, lineages: int) -> tuple[float, float, list[tuple[float, int]]]:
    """Wall and CPU seconds of the run, and its memory over time."""
    batch = {"size": SIZE, "seconds": SECONDS, "lineages": lineages}
    command = [
        *evolute("evolve", seeds, "--out", out, "--base-url", url, "--model", "m", "--rounds", ROUNDS, "--batch"),
        *EVOLVER_ONLY, "--set", "models.default.batch=" + json.dumps(batch),
    ]  # fmt: skip
    started, samples = time.monotonic(), []
    with (out.parent / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                samples.append((time.monotonic() - started, watched.memory_info().rss))
                times = watched.cpu_times()
            except psutil.Error:
                break
            time.sleep(0.25)
        if process.wait():
            raise SystemExit((out.parent / "said").read_text()[-3000:])
    return time.monotonic() - started, times.user + times.system, samples


async def bare(url: str, count: int, folder: Path) -> float:
    """Seconds for writing, uploading, making and reading batches of as many requests of the same size."""
    spec = ModelSpec(base_url=url, model="m", batch=BatchSpec())
    prompt = next(iter(load_operations([]).values())).text
    texts = seed_texts(count)
    started, read = time.monotonic(), 0
    async with open_provider(spec, folder) as provider:
        for number in range(0, count, SIZE):
            path = folder / f"bare-{number}.jsonl"
            with path.open("wb") as file:
                for draw in range(number, min(number + SIZE, count)):
                    messages = (Message("user", f"{prompt}\n{next(texts)}"),)
                    request = Request("evolver", messages, b"bare", draw, {"temperature": 1.0, "max_tokens": 2048})
                    file.write(provider.line(request.key.hex(), request) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            id = await provider.submit(path.stem, path, min(SIZE, count - number))
            if (await provider.status(id)).state != "ended":
                raise SystemExit(f"{id} has not ended")
            async for _ in provider.results(id):
                read += 1
            path.unlink()
    if read != count:
        raise SystemExit(f"{read} results of {count}")
    return time.monotonic() - started


def main() -> None:
    """Measure both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50_000, help="each is evolved twice, one request each")
    parser.add_argument("--lineages", type=int, default=20_000, help="that wait at once")
    parser.add_argument("--aim", type=float, default=120.0, help="seconds")
    options = parser.parse_args()
    requests = options.seeds * ROUNDS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with server() as url:
            ideal = asyncio.run(bare(url, requests, folder))
        say(f"bare: {ideal:.1f} s")
        with server() as url:
            seeds = write_seeds(folder / "seeds.jsonl", options.seeds)
            wall, cpu, samples = batched(url, seeds, folder / "run", options.lineages)
            stats = seen(url)
        say(f"batch mode: {wall:.1f} s, {stats}")
        disk = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
    peak = max(memory for _, memory in samples)
    half = [memory for at, memory in samples if at >= wall / 2]
    tenths = [max((m for at, m in samples if wall * n / 10 <= at < wall * (n + 1) / 10), default=0) for n in range(10)]
    table(
        f"Batch mode: {stats['requests']:,} requests in {stats['batches']} batches of up to {SIZE:,}",
        ["what", "value"],
        [
            ["seconds", f"{wall:.1f} s: {verdict(wall, options.aim, at_most=True)}"],
            ["the ideal: the same files written, uploaded and read", f"{ideal:.1f} s: {wall / ideal:.2f} times that"],
            ["requests a second", f"{stats['requests'] / wall:,.0f}"],
            ["CPU of the run for a request", f"{1000 * cpu / stats['requests']:.3f} ms"],
            ["submitted twice", stats["repeated"]],
            ["memory in each tenth of the time, MiB", " ".join(f"{m / MEBIBYTE:.0f}" for m in tenths)],
            ["peak memory", f"{peak / MEBIBYTE:.0f} MiB, in the second half {max(half) / MEBIBYTE:.0f} MiB"],
            ["disk of the run", f"{disk / MEBIBYTE:.0f} MiB"],
        ],
    )


if __name__ == "__main__":
    main()
