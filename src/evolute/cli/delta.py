"""`evolute delta make|apply|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from evolute.cli.screen import say


def make(
    base: str, tuned: str, /, *, out: Annotated[Path, Parameter(help="The delta's folder, which is new.")]
) -> None:
    """Write what a tuned model differs in from its base: exact, and useless without the base.

    Args:
        base: The folder of the model that was trained.
        tuned: The folder of what came of it.
    """
    from evolute.train.delta import make_delta

    made = make_delta(base, tuned, out)
    say(
        f"{made.tensors:,} tensors ({_size(made.tuned_size)}): {made.unchanged:,} equal to the base's and not stored,"
        f" {made.whole:,} stored whole (the base has none like them)"
        + (f", {made.cast:,} compared with the base's numbers cast to the tuned model's type" if made.cast else "")
        + (f"; {made.dropped:,} of the base's are not in the tuned model" if made.dropped else "")
    )
    packed = ""
    if made.compressible is not None:
        packed = f"; compressed it would take about {_size(int(made.size * made.compressible))} (zlib, from a sample)"
    say(f"{_size(made.size)} of differences written to {out}{packed}")
    say(f"to get the tuned model back: evolute delta apply {base} {out} --out FOLDER")


def apply(
    base: str,
    delta: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="The tuned model's folder, which is new.")],
    arithmetic: Annotated[
        bool, Parameter(negative="", help="DELTA is in floating point, although it looks like a whole model.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"] | None,
        Parameter(help="The numbers to write, of a delta in floating point. Default: the delta's."),
    ] = None,
) -> None:
    """Recover a tuned model from its base and a delta: ours, or WizardLM's and Vicuna's in floating point.

    Args:
        base: The folder of the model that was trained.
        delta: The delta's folder.
    """
    from evolute.train.delta import apply_delta

    applied = apply_delta(base, delta, out, arithmetic=arithmetic, dtype=dtype)
    if applied.exact:
        say(
            f"{applied.tensors:,} tensors written to {out}: exact, each has the checksum it had when the delta was made"
        )
        return
    say(f"{applied.tensors:,} tensors written to {out}: NOT EXACT")
    for note in applied.notes:
        say(f"  {note}")


def verify(base: str, delta: str, tuned: str | None = None, /) -> None:
    """Check every checksum of a delta: its files, its base, and the tuned model, given or computed; writes nothing.

    Args:
        base: The folder of the model that was trained.
        delta: The delta's folder.
        tuned: The tuned model's folder. Left out: what base and delta give is checked.
    """
    from evolute.train.delta import verify_delta

    seen = verify_delta(base, delta, tuned)
    whose = f"of {tuned}" if tuned else "that base and delta give"
    say(f"all checksums hold: {seen.base:,} tensors of the base, {seen.files:,} files, {seen.tuned:,} tensors {whose}")


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
