"""Streams in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one perhaps shorter; none is empty (from Python 3.12: itertools)."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
