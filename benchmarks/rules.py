"""How much CPU the eliminator's cheap rules cost: microseconds a child, by length and by how it differs.

    python benchmarks/rules.py [--repeat N]

Every child is a new text, as in a run, so that no cache answers for it; its parent and seed are as a lineage has them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

from evolute.operations import load_operations
from evolute.recipe import Rules
from evolute.text import check_instruction, check_response, clean_instruction

TOPICS = ("harbour", "lantern", "violin", "bakery", "glacier", "market", "orchard", "satellite", "library", "tram")
NEW = "and name the one that a careful reader would doubt first, with two reasons drawn from the numbers given above"
SPANISH = "Explica con tres ejemplos por qué la gente del puerto compra menos pan cuando llueve y quién gana con ello."


def instructions(length: int, seed: int) -> Iterator[str]:
    """Endless different instructions of about `length` words."""
    draw = random.Random(seed)
    while True:
        clauses = ["Describe how the"]
        while sum(len(clause.split()) for clause in clauses) < length:
            topic, other = draw.sample(TOPICS, 2)
            clauses.append(f"{topic} {draw.randint(1, 999)} is linked to the {other} of the town, and why it matters;")
        yield " ".join(clauses)


def measure(name: str, run: Callable[[str, str], object], pairs: list[tuple[str, str]]) -> None:
    """Print the median and the 99th percentile of one call."""
    took = []
    for child, parent in pairs:
        start = time.thread_time()
        run(child, parent)
        took.append((time.thread_time() - start) * 1e6)
    took.sort()
    print(f"{name:<44} {statistics.median(took):>8.1f} {took[int(0.99 * len(took))]:>8.1f}")


def main() -> None:
    """Print one line per rule set and length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1000, help="children per line")
    repeat = parser.parse_args().repeat
    rules = Rules()
    seed = "Describe how the harbour of the town is linked to its market."
    check_instruction(SPANISH, parent=seed, rules=rules)  # loads the language model

    print(f"{'microseconds a call':<44} {'median':>8} {'p99':>8}")
    for length in (20, 60, 300):
        parents = [text for text, _ in zip(instructions(max(8, length - 20), length), range(repeat), strict=False)]
        fresh = [text for text, _ in zip(instructions(length, -length), range(repeat), strict=False)]
        deeper = [(f"{parent} {NEW} ({number})", parent) for number, parent in enumerate(parents)]
        broader = list(zip(fresh, parents, strict=True))
        foreign = [(f"{SPANISH} {number} " * max(1, length // 20), parent) for number, parent in enumerate(parents)]
        measure(f"clean_instruction, {length} words", lambda c, p: clean_instruction(c, parent=p), deeper)
        for kind, pairs in (("in-depth", deeper), ("in-breadth", broader), ("other language", foreign)):
            measure(
                f"check_instruction, {length} words, {kind}",
                lambda c, p: check_instruction(c, parent=p, ancestors=(seed, seed + " Why?"), rules=rules),
                pairs,
            )
        measure(f"check_response, {length} words", lambda c, p: check_response(c, instruction=p, rules=rules), deeper)
    operation = load_operations()["add-constraints"]
    measure("Operation.messages", lambda c, p: operation.messages(c), [(seed, seed)] * repeat)


if __name__ == "__main__":
    main()
