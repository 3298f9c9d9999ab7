"""The conditions of `--where`: a field, an operator, a value."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evolute.errors import InputError

_CONDITION = re.compile(r"\s*(?P<field>[^=!<>~]*[^=!<>~\s])\s*(?P<sign>!=|>=|<=|==|!~|=|>|<|~)\s*(?P<value>.*)", re.S)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def dig(row: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a field of the user's row
    """The value at a dotted path, None where there is none.

    A key that is spelt like the whole path wins; letter case counts only where two keys differ in nothing else; a
    number steps into a list (`instances.0.input`).
    """
    found = _field(row, path)
    if found is not None or "." not in path:
        return found
    value: Any = row
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = _field(value, step)
        elif isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _field(row: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a field of the user's row
    if name in row:
        return row[name]
    folded = name.casefold()
    return next((value for key, value in row.items() if key.casefold() == folded), None)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a row. A field that is missing or null equals only the empty value."""

    field: str
    sign: str
    value: str

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether the row fulfils it."""
        found = dig(row, self.field)
        if self.sign in ("~", "!~"):
            return (found is not None and re.search(self.value, _text(found)) is not None) is (self.sign == "~")
        if self.sign in _ORDER:
            return self._in_order(found)
        return self._equals(found) is (self.sign != "!=")

    def _equals(self, found: object) -> bool:
        if found is None or _text(found) == self.value:
            return found is not None or self.value in ("", "null")
        wanted, number = _number(self.value), _number(found)
        return wanted is not None and wanted == number

    def _in_order(self, found: object) -> bool:
        compare = _ORDER[self.sign]
        wanted = _number(self.value)
        if wanted is None:
            return isinstance(found, str) and compare(found, self.value)
        number = _number(found)
        return number is not None and compare(number, wanted)


def parse_condition(text: str) -> Condition:
    """Read `category=math`, `difficulty>=5`, `lang!=en`, `name~^seed`.

    Raises:
        InputError: it is none of these, or the pattern after `~` is not a regular expression.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            f"--where {text!r} is not a condition: write FIELD, one of = != > >= < <= ~ !~, and a value"
            " (category=math, difficulty>=5, name~^seed)"
        )
    condition = Condition(match["field"], match["sign"].replace("==", "="), match["value"].strip())
    if "~" in condition.sign:
        try:
            re.compile(condition.value)
        except re.error as error:
            raise InputError(f"--where {text!r}: {condition.value!r} is not a regular expression: {error}") from None
    return condition


def _text(value: object) -> str:
    """A value as the user would write it: JSON's words for true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
