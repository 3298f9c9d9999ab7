"""What was scored, choice by choice, as lm-evaluation-harness logs it with `--log_samples`, so that others read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolute.evaluate.choice.encoding import Pair
from evolute.evaluate.choice.metrics import Marked
from evolute.evaluate.choice.scorer import Likelihood


def sample_rows(marked: Sequence[Marked], found: Mapping[Pair, Likelihood], name: str = "") -> Iterator[dict[str, Any]]:
    """A row for each question, for the choices of the list `name`; what is unscored has null and `why`."""
    for number, one in enumerate(marked):
        pairs = one.question.pairs(name)
        said = [found.get(pair, Likelihood(None)) for pair in pairs]
        told = [[None if like.value is None else str(like.value), str(like.greedy)] for like in said]
        target = str(one.question.document.right[name].index(True))
        document = dict(one.question.document.row)
        yield {
            "doc_id": number,
            "id": one.question.id,
            "doc": document,
            "target": target,
            "arguments": {f"gen_args_{n}": {"arg_0": pair[0], "arg_1": pair[1]} for n, pair in enumerate(pairs)},
            "resps": [[one] for one in told],
            "filtered_resps": told,
            "filter": "none",
            "metrics": list(one.metrics),
            "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
            "prompt_hash": _hash(pairs[0][0]),
            "target_hash": _hash(target),
            **one.metrics,
            **({"why": one.why} if one.why else {}),
        }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
