"""How long `evolute --help` takes, and what it imports. Run: python benchmarks/startup.py.

The floor is the interpreter itself (`python -c pass`), timed in turn with it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import evolute, table, verdict

HEAVY = ("torch", "ray", "datasets", "pyarrow", "numpy", "aiohttp", "fastapi", "starlette", "gradio", "flask")
TURNS = 20


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def imported(command: list[str]) -> list[tuple[str, int]]:
    """Every module that the command imports, with its own time in microseconds."""
    python, *rest = command
    told = subprocess.run([python, "-X", "importtime", *rest], check=True, capture_output=True, text=True).stderr
    lines = [
        line.removeprefix("import time:").split("|") for line in told.splitlines() if line.startswith("import time:")
    ]
    return [(name.strip(), int(own)) for own, _, name in lines if own.strip().isdigit()]


def main() -> None:
    command, floor = evolute("--help"), [sys.executable, "-c", "pass"]
    seconds(command)  # the first start compiles and fills the page cache
    ours, bare = [], []
    for _ in range(TURNS):
        bare.append(seconds(floor))
        ours.append(seconds(command))
    rows = [
        (name, min(times), statistics.median(times), statistics.median(times) / statistics.median(bare))
        for name, times in (("python -c pass", bare), ("evolute --help", ours))
    ]
    table(f"Start-up, {TURNS} turns", ("command", "best s", "median s", "× the bare interpreter"), rows)
    print(f"\nmedian of `evolute --help`: {verdict(statistics.median(ours), 0.3, at_most=True)}")
    modules = imported(command)
    heavy = sorted({name.partition(".")[0] for name, _ in modules} & set(HEAVY))
    print(f"modules imported: {len(modules)}; heavy ones among them: {', '.join(heavy) or 'none'}")
    dearest = sorted(modules, key=lambda module: -module[1])[:8]
    table("The dearest imports", ("module", "own ms"), [(name, own / 1000) for name, own in dearest])


if __name__ == "__main__":
    main()
