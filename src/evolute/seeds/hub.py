"""Datasets on the Hugging Face hub, streamed. The only part of the reader that uses the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evolute.errors import MissingExtra
from evolute.quiet import quiet_hub
from evolute.seeds.options import FileProblem


def hub_rows(name: str, split: str) -> Iterator[tuple[int, Any]]:
    """The rows of `owner/name`, or of `owner/name:configuration`.

    Raises:
        MissingExtra: the package `datasets` is not installed.
        FileProblem: there is no such dataset, configuration or split, or the hub cannot be reached.
    """
    quiet_hub()
    try:
        import datasets
    except ImportError:
        raise MissingExtra(f"reading {name!r} from the Hugging Face hub", "parquet") from None
    dataset, _, configuration = name.partition(":")
    try:
        stream = datasets.load_dataset(dataset, configuration or None, split=split, streaming=True)
        yield from enumerate(stream, 1)
    except Exception as error:  # noqa: BLE001 - four packages' kinds of error, which share no base, all mean: no data
        raise FileProblem(_explain(dataset, split, error)) from None


def _explain(dataset: str, split: str, error: Exception) -> str:
    said = re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
    return (
        f"no such file here, and the Hugging Face hub gave no dataset {dataset!r} with split {split!r}: {said!r}."
        " Check the name, --split, the configuration (hf:OWNER/NAME:CONFIGURATION), and the network"
    )
