"""Which of the rows that passed make the dataset: so many, drawn evenly, by group, or for coverage.

A draw is the order of a hash of (seed, row id): it depends neither on the order of the rows nor on their number, so
that a larger draw holds the smaller one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evolute.errors import InputError
from evolute.records import tagged_hash

MOST_COMPARED = 2_000_000_000
"""Distances that `cover` computes at most (rows x rows to choose); beyond, it would take more than some minutes."""


def draw(ids: Sequence[str], count: int, seed: int = 0) -> list[int]:
    """The numbers of `count` of the rows, each as likely as any other, in row order.

    Raises:
        InputError: there are fewer rows.
    """
    if count > len(ids):
        raise InputError(f"a mixture of {count:,} rows is wanted, and only {len(ids):,} passed: ask for fewer")
    return sorted(sorted(range(len(ids)), key=lambda row: _order(seed, ids[row]))[:count])


def draw_by_group(
    ids: Sequence[str],
    groups: Sequence[str],
    count: int | None = None,
    quotas: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[int]:
    """Rows of each group, in row order.

    Args:
        ids: the rows' ids.
        groups: each row's group.
        count: rows in all; None: what the quotas ask for, or all rows where there are none.
        quotas: rows of a group, a whole number; a number below 1 is that share of `count`. The other groups share the
            rest of `count` evenly, and what one of them lacks goes to those that have more.
        seed: another draw.

    Raises:
        InputError: a quota is no number of rows, names no group, or asks for more rows than there are; or all groups
            are too few.
    """
    sizes = Counter(groups)
    wanted = {name: _size(name, quota, count, sizes) for name, quota in (quotas or {}).items()}
    if count is not None:
        rest = count - sum(wanted.values())
        if rest < 0:
            raise InputError(
                f"the quotas ask for {sum(wanted.values()):,} rows, more than the {count:,} of the mixture"
            )
        wanted |= _share({name: size for name, size in sizes.items() if name not in wanted}, rest, count)
    elif not wanted:
        wanted = dict(sizes)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    chosen: list[int] = []
    for name, number in wanted.items():
        rows = members[name]
        chosen += rows if number == len(rows) else sorted(rows, key=lambda row: _order(seed, ids[row]))[:number]
    return sorted(chosen)


def cover(ids: Sequence[str], vectors: NDArray[np.float32], count: int, seed: int = 0) -> list[int]:
    """Rows chosen greedily for coverage: each next one is the farthest from those chosen; in row order.

    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985; Sener and Savarese, arXiv:1708.00489.)
    The first is drawn by the seed; ties go to the row that comes first in the draw's order.

    Raises:
        InputError: there are fewer rows, or so many that it would take hours.
    """
    rows = len(ids)
    if count > rows:
        raise InputError(f"a mixture of {count:,} rows is wanted, and only {rows:,} passed: ask for fewer")
    if rows * count > MOST_COMPARED:
        raise InputError(
            f"coverage of {count:,} among {rows:,} rows would take hours: ask for fewer rows, or mix by 'cluster'"
        )
    order = sorted(range(rows), key=lambda row: _order(seed, ids[row]))
    table = np.ascontiguousarray(vectors[order], dtype=np.float32)
    chosen = [0]
    closest = table @ table[0]
    for _ in range(count - 1):
        closest[chosen[-1]] = np.inf
        chosen.append(int(np.argmin(closest)))
        np.maximum(closest, table @ table[chosen[-1]], out=closest)
    return sorted(order[place] for place in chosen[:count])


def difficulty_band(mark: float | None) -> str:
    """The name of the band that a difficulty lies in: `1-2`, `3-4`, … `9-10`, or `none`."""
    if mark is None:
        return "none"
    low = min(9, int((max(mark, 1) - 1) // 2) * 2 + 1)
    return f"{low}-{low + 1}"


def _size(name: str, quota: float, count: int | None, sizes: Mapping[str, int]) -> int:
    if name not in sizes:
        raise InputError(f"select.mixture.quotas: no row is of group {name!r}; there are: {', '.join(sorted(sizes))}")
    if not (0 <= quota < 1 or (quota >= 1 and float(quota).is_integer())):
        raise InputError(
            f"select.mixture.quotas: {quota!r} rows of group {name!r} are wanted: give a whole number of rows, or a"
            " share below 1"
        )
    if 0 < quota < 1 and count is None:
        raise InputError(
            f"select.mixture.quotas: {name!r} asks for a share, {quota!r}: set select.mixture.rows as well"
        )
    wanted = round(quota * (count or 0)) if 0 < quota < 1 else int(quota)
    if wanted > sizes[name]:
        raise InputError(
            f"select.mixture.quotas: {wanted:,} rows of group {name!r} are wanted, and only {sizes[name]:,} passed: "
            "lower the quota"
        )
    return wanted


def _share(sizes: Mapping[str, int], rest: int, count: int) -> dict[str, int]:
    """Shares of `rest` as even as the groups' sizes allow; the smallest are filled first."""
    if rest > sum(sizes.values()):
        raise InputError(
            f"a mixture of {count:,} rows is wanted, and only {count - rest + sum(sizes.values()):,} can be had: "
            "ask for fewer, or change the quotas"
        )
    shares: dict[str, int] = {}
    left = sorted(sizes.items(), key=lambda item: (item[1], item[0]))
    for place, (name, size) in enumerate(left):
        shares[name] = min(size, rest // (len(left) - place))
        rest -= shares[name]
    return shares


def _order(seed: int, name: str) -> bytes:
    return tagged_hash("mixture-1", seed, name)


def count_groups(groups: Iterable[str], chosen: Iterable[int]) -> dict[str, int]:
    """How many rows of each group were chosen."""
    names = list(groups)
    return dict(sorted(Counter(names[row] for row in chosen).items()))
