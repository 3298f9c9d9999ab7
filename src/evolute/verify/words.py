"""What the ledger keeps of a verification, in words for whoever reads a run."""

from __future__ import annotations

from typing import Any

import orjson

_MOST = 300


def in_words(verification: str) -> str:
    """One line: verified by what, or why not. Empty where there was nothing to verify."""
    if not verification:
        return ""
    note: dict[str, Any] = orjson.loads(verification)
    repairs = _count(note["repairs"], "repair")
    figures = _figures(note["trial"]) if note["trial"] and note["trial"]["runs"] else ""
    if note["verified"]:
        after = f" after {repairs}" if note["repairs"] else ""
        return f"verified{after}: {figures}"
    after = f" after {repairs}" if note["repairs"] else ""
    why = "; ".join(f"{name}: {_plain(value)}" for name, value in note["evidence"].items())
    return f"not verified{after}: {note['reason']} ({_cut(why)})" + (f"; the last trial: {figures}" if figures else "")


def _figures(trial: dict[str, Any]) -> str:
    parts = [f"{_count(trial['tests'], 'test')} with {_count(trial['checks'], 'assertion')}"]
    if trial["trivial"]:
        parts.append(f"{trial['trivial'] - len(trial['accepted'])} of {trial['trivial']} trivial programs rejected")
    if trial["mutants"]:
        parts.append(f"{trial['mutants'] - len(trial['survivors'])} of {trial['mutants']} mutants rejected")
    if trial["branches"]:
        parts.append(f"{trial['taken']} of {trial['branches']} branches reached")
    together = ", in one process with the tests" if trial["together"] else ""
    return ", ".join(parts) + f"; {_count(trial['runs'], 'run')} in {trial['seconds']:.2g} s{together}"


def _count(count: int, one: str) -> str:
    return f"{count} {one if count == 1 else one + 's'}"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1].rstrip() + "…"
