"""Select from rows of any origin: near duplicates, overlap with benchmarks, faulty responses. No run, no network.

Run it: python examples/03_select_any_rows.py
"""

from evolute.api import Row
from evolute.select.contamination import contamination
from evolute.select.duplicates import near_duplicates
from evolute.select.quality import quality
from evolute.text.contamination import load_corpora
from evolute.text.corpora import SHIPPED, Corpus

PAIRS = [
    ("Explain to a child of ten how the tides come about.", "The moon pulls at the sea, and the sea follows it."),
    ("Please explain to a child of ten how the tides come about.", "The moon pulls at the water of the sea."),
    ("Plan a week of school lunches for a class of twenty.", "As an AI language model, I cannot eat lunch."),
    ("Name the river that runs past the old mill of our town and tell where it meets the sea.", "I do not know it."),
    ("Compare two ways to sort a list of a million names.", "Merge sort is stable; quick sort needs less memory."),
]

EXAM = Corpus.of(
    "exam", [("q7", "Name the river that runs past the old mill of our town and tell where it meets the sea.")]
)


def row(number: int, instruction: str, response: str) -> Row:
    return Row(
        id=f"r{number}", parent="", root=f"r{number}", round=0, operation="", instruction=instruction, input="",
        response=response, system="", history=(), evolver="", judge="", responder="", source="mine.jsonl", line=number,
    )  # fmt: skip


def main() -> None:
    rows = [row(number, *pair) for number, pair in enumerate(PAIRS)]

    pairs = near_duplicates(row.asked for row in rows)  # measured once, from a Jaccard index of 0.7 up
    for threshold in (0.8, 0.95):
        print(f"at {threshold}, kept: {pairs.select(threshold).kept}")

    for hit in (*quality(rows).hits, *contamination(rows, load_corpora([*SHIPPED, EXAM])).select(13).dropped):
        print(f"row {hit.row}: {hit.reason}, {dict(hit.evidence)}")


if __name__ == "__main__":
    main()
