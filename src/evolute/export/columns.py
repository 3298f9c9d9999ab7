"""The types of columns, told to each reader in its own way: Arrow's schema, and the hub's `dataset_info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from evolute.errors import MissingExtra

Kind = Literal["string", "bool", "int64", "float64", "messages", "turns", "pairs"]
"""A column's type: a plain one; a list of turns, with `role` and `content` or with `from` and `value`; or a list of
pairs of texts."""

Columns = Mapping[str, Kind]

_TURN: dict[Kind, tuple[str, str]] = {"messages": ("role", "content"), "turns": ("from", "value")}


def arrow_schema(columns: Columns) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The columns as pyarrow's schema.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    plain = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
    nested = {kind: pa.list_(pa.struct([(name, pa.string()) for name in names])) for kind, names in _TURN.items()}
    types = plain | nested | {"pairs": pa.list_(pa.list_(pa.string()))}
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def hub_features(columns: Columns) -> list[dict[str, Any]]:
    """The columns as a dataset card's `dataset_info: features`, which `load_dataset` follows instead of guessing."""
    return [{"name": name} | _hub_type(kind) for name, kind in columns.items()]


def _hub_type(kind: Kind) -> dict[str, Any]:
    if kind in _TURN:
        return {"list": [{"name": name, "dtype": "string"} for name in _TURN[kind]]}
    return {"list": {"list": "string"}} if kind == "pairs" else {"dtype": kind}
