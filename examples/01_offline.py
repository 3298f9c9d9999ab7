"""Evolve three seeds with the scripted model, which answers from a rule: no key, no network, a second.

Run it: python examples/01_offline.py
"""

import tempfile
from pathlib import Path

from evolute import api


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    seeds = folder / "seeds.txt"
    seeds.write_text("Explain how tides work.\nPlan a week of school lunches.\nCompare two ways to sort a list.\n")

    summary = api.evolve(
        str(seeds),
        out=folder / "run",
        recipe="wizardlm",
        settings={"models.default.api": "scripted", "evolve.rounds": 2},
    )
    print(f"{summary.finished} seeds, {summary.kept} evolved instructions kept, dropped: {dict(summary.dropped)}")
    for row in api.dataset(folder / "run", seeds=False):
        print(f"round {row.round}, {row.operation}: {row.instruction}")


if __name__ == "__main__":
    main()
