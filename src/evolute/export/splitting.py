"""Which rows are held out for validation: whole conversations, chosen by a hash.

A lineage shares its words from round to round, and so do the seeds of one conversation (`--every-turn`), whose
histories overlap. Were they on both sides, validation would measure memory. So the seed's place in its file, which
both have in common, decides for all of its rows, and nothing else does: neither their order nor the rows around them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from evolute.errors import InputError
from evolute.records import Row, tagged_hash

_ALL = 2**64


def group(row: Row, seed: int) -> int:
    """A number from 0 to 2**64 - 1, the same for all rows that must stay together.

    They are those of one file name and line, or of one root where no line is known. The file's folder does not count,
    so that a dataset that moves is split alike. In a run each root has one place.
    """
    file = re.split(r"[\\/]", row.source)[-1]
    key: tuple[str | int, ...] = ("place", file, row.line) if row.source and row.line else ("root", row.root)
    return int.from_bytes(tagged_hash("split-1", seed, *key)[:8], "big")


def check_validation(validation: float) -> None:
    """Accept 0, a share below 1, or a whole number of rows.

    Raises:
        InputError: it is none of them.
    """
    whole = validation >= 1 and math.isfinite(validation) and validation == int(validation)
    if not (0 <= validation < 1 or whole):
        raise InputError(
            f"validation must be a share from 0 to below 1 (0.05), or a whole number of rows (500); got {validation!r}"
        )


def below(share: float) -> int:
    """The bound under which groups are validation, for a share of the groups."""
    return int(share * _ALL)


def below_for(rows: int, sizes: Mapping[int, int]) -> int:
    """The bound for at least so many `rows`, in as few whole groups as come first; `sizes` has the rows of each group.

    Raises:
        InputError: nothing would be left to train on.
    """
    held = 0
    for number in sorted(sizes):
        if held >= rows:
            return number
        held += sizes[number]
    raise InputError(f"validation of {rows:,} rows leaves none of the {sum(sizes.values()):,} to train on: take fewer")
