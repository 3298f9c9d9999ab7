"""Add an operation: a Markdown file in a folder of yours. The recipe draws from it and from two of the shipped ones.

Run it: python examples/02_an_operation_of_your_own.py
"""

import tempfile
from pathlib import Path

from evolute import api

HERE = Path(__file__).parent


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    seeds = folder / "seeds.txt"
    seeds.write_text("".join(f"Explain how a river of {n} kilometres is measured.\n" for n in range(100, 120)))

    api.evolve(
        str(seeds),
        out=folder / "run",
        recipe="wizardlm",
        settings={
            "models.default.api": "scripted",
            "evolve.rounds": 1,
            "evolve.operation_folders": [str(HERE / "operations")],
            "evolve.operations": {"for-a-child": 2, "deepen": 1, "add-constraints": 1},
        },
    )
    for use in api.status(folder / "run").operations:
        print(f"{use.operation}: {use.kept} kept, {use.dropped} dropped")


if __name__ == "__main__":
    main()
