"""Plain values as JSON that keeps their types: the only thing that crosses between the sandbox's processes.

What comes back is rebuilt by type, never executed: neither pickle nor marshal would do. An object of a class of the
candidate's own arrives as the plain value that it stands on, or not at all, so it cannot bring an `__eq__` along.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would double the time that a process takes to start
    from collections.abc import Callable, Iterable
    from typing import Any

DEEPEST = 200
"""Containers within containers that cross."""
MOST_ITEMS = 100_000
"""Items taken from an iterator, which may be without end."""


class Uncrossable(Exception):
    """A value that is no plain one."""


def _make_codec() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """JSON from the interpreter's C parts, since importing `json` would double the time that a process takes to start.

    They are private, so any other shape of them falls back to `json`.
    """
    constants = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

    class Context:
        strict = False
        object_hook = object_pairs_hook = None
        parse_float, parse_int = float, int
        parse_constant = constants.__getitem__
        memo: dict[str, str] = {}

    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        encode = make_encoder(None, None, encode_basestring_ascii, None, ":", ",", False, False, True)  # type: ignore[arg-type]
        scan = make_scanner(Context())  # type: ignore[arg-type]
        if "".join(encode([1, {"a": None}], 0)) != '[1,{"a":null}]' or scan('[1,{"a":null}]', 0)[0] != [1, {"a": None}]:
            raise ImportError
    except (ImportError, TypeError, AttributeError):
        import json

        return json.dumps, json.loads

    def loads(text: str) -> Any:
        try:
            value, end = scan(text, 0)
        except StopIteration:
            raise ValueError("no JSON") from None
        if end != len(text):
            raise ValueError("more than one JSON value")
        return value

    return lambda value: "".join(encode(value, 0)), loads


json_dumps, json_loads = _make_codec()

_FLAT = frozenset((type(None), bool, int, float, str))
_BIG = 1 << 4096  # below the number of digits that int() refuses to read


def encode(value: Any, room: int = DEEPEST) -> Any:
    """A tree that JSON can hold: lists as they are, everything else under its tag.

    Raises:
        Uncrossable: the value, or one inside it, is no plain one.
    """
    kind = type(value)
    if kind in _FLAT:
        return {"int": hex(value)} if kind is int and not -_BIG < value < _BIG else value
    if room == 0:
        raise Uncrossable(f"nested more than {DEEPEST} deep")
    if kind is list:
        return _items(value, room)
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, room)
    return _encode_other(value, room)


def _items(values: Iterable[Any], room: int) -> list[Any]:
    return [
        value
        if (kind := type(value)) in _FLAT and (kind is not int or -_BIG < value < _BIG)
        else encode(value, room - 1)
        for value in list(values)
    ]


def _pairs(value: dict[Any, Any], room: int) -> list[Any]:
    return [[encode(key, room - 1), encode(item, room - 1)] for key, item in dict.items(value)]


def _dict(value: dict[Any, Any], room: int) -> Any:
    if set(map(type, value)) <= {str}:
        return {"map": {key: encode(item, room - 1) for key, item in value.items()}}
    return {"dict": _pairs(value, room)}


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    tuple: lambda value, room: {"tuple": _items(value, room)},
    set: lambda value, room: {"set": _items(value, room)},
    frozenset: lambda value, room: {"frozenset": _items(value, room)},
    dict: _dict,
    complex: lambda value, room: {"complex": [value.real, value.imag]},
    bytes: lambda value, room: {"bytes": value.hex()},
    bytearray: lambda value, room: {"bytearray": value.hex()},
    range: lambda value, room: {"range": _items((value.start, value.stop, value.step), room)},
    type(...): lambda value, room: {"ellipsis": 0},
}
_EMPTY: dict[str, str] = {}
_VIEWS = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))
# In the order of their trial: what a class stands on is what crosses.
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__pos__),
    (float, float.__pos__),
    (str, str.__str__),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (bytes, lambda value: bytes(bytes.__iter__(value))),
)


def _encode_other(value: Any, room: int) -> Any:
    """Values of the standard library's and numpy's types, and of classes that stand on plain ones."""
    kind = type(value)
    module, name = kind.__module__, kind.__name__
    write = _STANDARD.get((module, name))
    if write is not None and kind is getattr(sys.modules.get(module), name, None):
        return write(value, room)
    if module == "numpy" and isinstance(value, _numpy("generic")):
        return encode(value.item(), room)
    if module == "numpy" and isinstance(value, _numpy("ndarray")):
        items = encode(value.tolist(), room)
        return {"array": [value.dtype.str, items]} if value.dtype.kind in "biufc" else items
    for base, strip in _BASES:
        if isinstance(value, base):
            return encode(strip(value), room)
    if isinstance(value, type) and value in vars(sys.modules["builtins"]).values():
        return {"type": value.__name__}
    if hasattr(kind, "__next__"):
        return {"iterator": _items(_first(value), room)}
    if kind in _VIEWS:
        return {"list": _items(value, room)}
    raise Uncrossable(f"the class {value.__name__}" if isinstance(value, type) else f"a {module}.{name}")


def _numpy(name: str) -> Any:
    return getattr(sys.modules.get("numpy"), name, ())


def _first(values: Iterable[Any]) -> list[Any]:
    taken: list[Any] = []
    for value in values:
        if len(taken) == MOST_ITEMS:
            raise Uncrossable(f"an iterator of more than {MOST_ITEMS} items")
        taken.append(value)
    return taken


_STANDARD: dict[tuple[str, str], Callable[[Any, int], Any]] = {
    ("decimal", "Decimal"): lambda value, room: {"decimal": str(value)},
    ("fractions", "Fraction"): lambda value, room: {"fraction": _items((value.numerator, value.denominator), room)},
    ("collections", "deque"): lambda value, room: {"deque": _items(value, room)},
    ("collections", "Counter"): lambda value, room: {"counter": _pairs(value, room)},
    ("collections", "OrderedDict"): lambda value, room: {"ordered": _pairs(value, room)},
    ("collections", "defaultdict"): lambda value, room: {"defaultdict": _pairs(value, room)},
    ("datetime", "datetime"): lambda value, room: {"datetime": value.isoformat()},
    ("datetime", "date"): lambda value, room: {"date": value.isoformat()},
    ("datetime", "time"): lambda value, room: {"time": value.isoformat()},
    ("datetime", "timedelta"): lambda value, room: {"timedelta": [value.days, value.seconds, value.microseconds]},
}


def dumps(value: Any) -> str:
    """A plain value as text.

    Raises:
        Uncrossable: the value, or one inside it, is no plain one.
    """
    try:
        return json_dumps(encode(value))
    except RecursionError:
        raise Uncrossable("nested too deeply") from None


def loads(text: str) -> Any:
    """The plain value that `dumps` wrote.

    Raises:
        Uncrossable: `dumps` did not write this; its sender is not to be trusted.
    """
    try:
        tree = json_loads(text)
    except (ValueError, RecursionError):
        raise Uncrossable("what is no JSON") from None
    return rebuild(tree)


def rebuild(tree: Any) -> Any:
    """The plain value of a tree that nobody vouches for.

    Raises:
        Uncrossable: `encode` did not make it.
    """
    try:
        return decode(tree)
    except Exception as error:  # whatever the tree was made to cause
        raise Uncrossable(f"what is no value: {type(error).__name__}") from None


def decode(tree: Any) -> Any:
    """The value of a tree; raises whatever a tree that `encode` did not make causes."""
    kind = type(tree)
    if kind is list:
        return [decode(item) if type(item) is list or type(item) is dict else item for item in tree]
    if kind is not dict:
        return tree
    ((tag, content),) = tree.items()
    return _READERS[tag](content)


def _named(module: str, name: str) -> Callable[..., Any]:
    __import__(module)
    made: Callable[..., Any] = getattr(sys.modules[module], name)
    return made


def _decode_array(content: Any) -> Any:
    dtype, values = content
    if len(dtype) != 3 or dtype[0] not in "<>|=" or dtype[1] not in "biufc" or not dtype[2].isdigit():
        raise ValueError(f"no plain array: {dtype!r}")
    try:
        array = _named("numpy", "array")
    except ImportError:
        return decode(values)
    return array(decode(values), dtype=dtype)


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda content: int(content, 16),
    "map": lambda content: {key: decode(item) for key, item in content.items()},
    "dict": lambda content: {decode(key): decode(item) for key, item in content},
    "list": decode,
    "tuple": lambda content: tuple(decode(content)),
    "set": lambda content: set(decode(content)),
    "frozenset": lambda content: frozenset(decode(content)),
    "complex": lambda content: complex(*content),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "range": lambda content: range(*decode(content)),
    "ellipsis": lambda content: ...,
    "type": lambda content: _builtin_type(content),
    "iterator": lambda content: iter(decode(content)),
    "array": _decode_array,
    "decimal": lambda content: _named("decimal", "Decimal")(content),
    "fraction": lambda content: _named("fractions", "Fraction")(*decode(content)),
    "deque": lambda content: _named("collections", "deque")(decode(content)),
    "counter": lambda content: _named("collections", "Counter")(_READERS["dict"](content)),
    "ordered": lambda content: _named("collections", "OrderedDict")([tuple(pair) for pair in decode(content)]),
    "defaultdict": lambda content: _named("collections", "defaultdict")(None, _READERS["dict"](content)),
    "datetime": lambda content: _named("datetime", "datetime").fromisoformat(content),  # type: ignore[attr-defined]
    "date": lambda content: _named("datetime", "date").fromisoformat(content),  # type: ignore[attr-defined]
    "time": lambda content: _named("datetime", "time").fromisoformat(content),  # type: ignore[attr-defined]
    "timedelta": lambda content: _named("datetime", "timedelta")(*content),
}


def _builtin_type(name: Any) -> Any:
    made = getattr(sys.modules["builtins"], name)
    if not isinstance(made, type):
        raise ValueError(f"no type: {name!r}")
    return made
