"""What the sandbox is asked and what it answers. All text in it is the program's own: escape it where it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    `seconds` bounds wall clock and CPU time alike; `memory` is its address space and `files` the size of its temporary
    folder, in bytes; `output` is how many bytes of its standard streams are kept (a program that prints more is
    stopped), `value` the bytes of one value that crosses; `threads` counts its first one.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    output: int = 1 << 16
    value: int = 1 << 22
    files: int = 1 << 24
    threads: int = 32


class Outcome(StrEnum):
    """How a program ended."""

    PASSED = "passed"
    """It ran to its end; all tests passed."""
    FAILED = "failed"
    """A test failed, or a call raised."""
    ERROR = "error"
    """The candidate does not load: a syntax error, an exception at import, a function that is not there."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"
    """It printed more than it may."""
    CRASHED = "crashed"
    """It died without a verdict: by os._exit, by a signal, or with its channel closed."""
    UNCROSSABLE = "uncrossable"
    """A value of the tests cannot cross between the processes: a callback, a class of its own."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One program: `detail` is one bounded line (where and what), `output` what it printed; `seconds` wall clock."""

    outcome: Outcome
    detail: str
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Tested(Ran):
    """A candidate's tests, up to the first that failed.

    `tests` has a name, an outcome and a detail for the module of the tests (its top-level asserts) and for each
    `test_…` function. `value` is the candidate's global that was to be read, None where it has none.
    """

    tests: tuple[tuple[str, Outcome, str], ...] = ()
    value: object = None


@dataclass(frozen=True, slots=True)
class Returned:
    """One call: `value` where it returned (`passed`), else `detail`; `seconds` as its own process measured it.

    `size` is how many bytes crossed.
    """

    outcome: Outcome
    value: object
    detail: str
    seconds: float
    size: int = 0
