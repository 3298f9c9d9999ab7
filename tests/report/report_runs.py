"""Runs to report on: evolved by the scripted model, some of them from hostile seeds."""

import hashlib

import numpy as np
import orjson

from evolute import api
from evolute.ledger import FindingRow, GradeRow, Ledger, SelectionReader, SelectionWriter

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}
HOSTILE = (
    "<script>alert(1)</script> Explain what this line does to a page that trusts its reader.",
    "</script></style></title></textarea><img src=x onerror=alert(2)> Describe every tag in this sentence.",
    '" onmouseover="alert(3)" x=\' onfocus=alert(4) autofocus \' Write a poem about quotation marks.',
    "Translate \u202ethis reversed\u202c word \x1b[31m and say \x07 what \u2066it\u2069 hides, in plain words.",
    "{{ 7 * 7 }} {% include '/etc/passwd' %} {# gone #} Explain what a template engine does with these signs.",
    "]]> <!-- <svg onload=alert(5)> --> & &lt; &#x202e; Explain how comments end in each markup language.",
)


class Hashing:
    """A tiny encoder: a direction per word, summed."""

    name = identity = "hashing-test-1"

    def encode(self, texts):
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for place, text in enumerate(texts):
            for word in text.lower().split():
                digest = hashlib.blake2b(word.encode(), digest_size=64).digest()
                vectors[place] += np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths == 0, 1, lengths)


def evolved(folder, count, *texts, name="run", **settings):
    """Evolve so many plain seeds, and some given ones before them, into the run `folder / name`."""
    plain = [f"Explain how a class of {n + 2} pupils can share {n + 7} apples fairly." for n in range(count)]
    seeds = folder / f"{name}.jsonl"
    seeds.write_bytes(b"".join(orjson.dumps({"instruction": text}) + b"\n" for text in (*texts, *plain)))
    named = {field.replace("__", "."): value for field, value in settings.items()}
    api.evolve(str(seeds), out=folder / name, recipe="wizardlm", settings=SCRIPTED | named)
    return folder / name


def select_by_hand(run):
    """Write a selection: every fourth evolved row is dropped, the last row flagged, all are graded.

    Returns how many rows are gone, of how many.
    """
    with Ledger(run) as ledger:
        rows = list(ledger.reader.dataset())
        writer = SelectionWriter(ledger)
        marks = [(number, min(10, 3 + row.round)) for number, row in enumerate(rows)]
        grades = [GradeRow(number, mark, "", None) for number, mark in marks]
        tokens = [GradeRow(number, 40 + mark, "", None) for number, mark in marks]
        kinds = {"difficulty": grades, "quality": grades, "response-tokens": tokens}
        gone = [number for number, row in enumerate(rows) if row.round][::4]
        evidence = orjson.dumps({"benchmark": "<b>gsm8k</b>", "words": "a \u202e b"}).decode()
        dropped = [("near", FindingRow(number, "near-duplicate", 0.93, 0, evidence)) for number in gone]
        note = {
            "stamp": SelectionReader(ledger.reader).stamp(),
            "rows": len(rows),
            "kept": len(rows) - len(gone),
            "steps": [["near", len(gone)]],
            "dropped": {"near-duplicate": len(gone)},
            "corpora": {"checked": [{"name": "gsm8k", "title": "GSM8K", "items": 1319}], "not_checked": ["ARC"]},
            "tokenizer": "made-up-tokenizer",
        }
        writer.keep_selection(
            note, dropped, [("data", FindingRow(len(rows) - 1, "personal-data", 1.0, None, ""))], kinds, []
        )
    return len(gone), len(rows)
