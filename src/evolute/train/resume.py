"""Going on after a kill: which checkpoints are whole, and whether they are of this training."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError, RunBusy
from evolute.files import replacing
from evolute.ledger.lock import RunLock, describe, holder

STATE = "training.json"
"""The file in a training's folder that says what it is, and whether it is done."""
_MARK = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def find_record(out: Path, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """Look that a folder may be used for this training; its record, where the training is done.

    `plan` has the `fingerprint` of all that decides the result; the rest of it is there to say what differs.

    Raises:
        InputError: the folder holds something else, or another training.
    """
    state = out / STATE
    if state.is_file():
        found = _read(state)
        if found.get("fingerprint") != plan["fingerprint"]:
            raise InputError(f"{out}: holds another training ({_difference(found, plan)}): name another --out folder")
        return found if found.get("finished") else None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds something that is no training: name another --out folder")
    return None


def begin(out: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder of a training, with its record.

    Raises:
        InputError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror}") from None
    if not (out / STATE).is_file():
        write_state(out, plan)


@contextmanager
def alone(out: Path, checkpoints: Path) -> Iterator[None]:
    """The only training in this folder, which `begin` made; what killed ones left half-written there is taken away.

    Raises:
        RunBusy: another process trains in it.
    """
    checkpoints.mkdir(exist_ok=True)
    lock = RunLock(checkpoints)
    try:
        lock.__enter__()
    except RunBusy:
        refuse_if_busy(out, checkpoints)
        raise
    try:
        for left in out.glob(".evolute-*.partial"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        yield
    finally:
        lock.__exit__(None, None, None)


def refuse_if_busy(out: Path, checkpoints: Path) -> None:
    """Look whether another process trains there.

    Raises:
        RunBusy: it does.
    """
    if (who := holder(checkpoints)) is not None:
        raise RunBusy(f"{out}: is being trained in by {describe(who)}. Wait for it, or name another --out folder")


def write_state(out: Path, record: Mapping[str, Any]) -> None:
    """Write the training's record, whole or not at all."""
    with replacing(out / STATE) as file:
        file.write(orjson.dumps(record, option=orjson.OPT_INDENT_2))


def _read(state: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(state.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"{state}: cannot be read: {error}. Remove the folder to begin again") from None
    if not isinstance(found, dict):
        raise InputError(f"{state}: not a training's record. Remove the folder to begin again")
    return found


def _difference(found: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """What decides the result, and is not the same."""
    old, new = _flat(found.get("recipe", {})), _flat(plan["recipe"])
    said = [f"{name} {_shown(old.get(name))}, not {_shown(new[name])}" for name in new if old.get(name) != new[name]]
    said += [f"another {name}" for name in ("dataset", "base", "template") if found.get(name) != plan.get(name)]
    return ", ".join(said) or "made by another version"


def _shown(value: object) -> str:
    return "unset" if value is None else repr(value)


def _flat(fields: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def finish_checkpoint(folder: Path) -> None:
    """Mark a checkpoint as whole, with the hash of each of its files.

    `training_args.bin`, a pickle that nothing here reads, is taken away: the recipe says the same.
    """
    (folder / "training_args.bin").unlink(missing_ok=True)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != _MARK]
    hashes = {path.relative_to(folder).as_posix(): _hash(path) for path in files}
    with replacing(folder / _MARK) as file:
        file.write(orjson.dumps(hashes, option=orjson.OPT_INDENT_2))


def last_checkpoint(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The latest checkpoint that is whole; what is wrong with later ones is said. None: there is none.

    Raises:
        InputError: there are marked checkpoints, and all are damaged.
    """
    damaged = 0
    for checkpoint in reversed(_checkpoints(folder)):
        if not (checkpoint / _MARK).is_file():
            say(f"{checkpoint}: was not written to its end; the one before is taken")
            continue
        if not (wrong := _damage(checkpoint)):
            return checkpoint
        say(f"{checkpoint}: {wrong}; the one before is taken")
        damaged += 1
    if damaged:
        raise InputError(f"{folder}: no checkpoint is whole. Remove the folder to begin again from the base")
    return None


def thin_out(folder: Path, keep: int) -> None:
    """Take away all but the latest `keep` whole checkpoints, and what was left half-written before them."""
    whole = [one for one in _checkpoints(folder) if (one / _MARK).is_file()]
    kept = whole[-keep:]
    for checkpoint in _checkpoints(folder):
        if checkpoint not in kept:
            (checkpoint / _MARK).unlink(missing_ok=True)  # first: a folder half taken away is none
            shutil.rmtree(checkpoint, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """By their steps, the earliest first."""
    found = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _damage(checkpoint: Path) -> str:
    try:
        hashes = orjson.loads((checkpoint / _MARK).read_bytes())
        wrong = [name for name, digest in hashes.items() if _hash(checkpoint / name) != digest]
    except (OSError, orjson.JSONDecodeError, AttributeError) as error:
        return f"cannot be read ({error})"
    return f"is damaged ({', '.join(wrong)})" if wrong else ""


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
