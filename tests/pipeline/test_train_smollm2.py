"""A real training: SmolLM2 on a processor, from a file to answers in a format that it did not know."""

import re

import orjson
import pytest

from evolute.errors import InputError
from evolute.models.weights import find_model
from evolute.pipeline.training import train

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

try:
    find_model("smollm2")
except InputError:
    pytest.skip("SmolLM2's weights are not installed (evolute models install smollm2)", allow_module_level=True)
pytest.importorskip("torch")

ANIMALS = (
    "cat", "dog", "horse", "cow", "pig", "hen", "duck", "goose", "sheep", "goat", "mouse", "fox", "wolf", "bear",
    "deer", "frog",
)  # fmt: skip


def write_animals(path):
    """Short answers in a form that no model gives by itself."""
    rows = [
        {"instruction": f"Tell me about the {name}.", "output": f"ANIMAL={name.upper()}; LETTERS={len(name)}; DONE"}
        for name in ANIMALS
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_a_short_training_lowers_the_loss(tmp_path):
    done = train(
        write_animals(tmp_path / "animals.jsonl"),
        out=tmp_path / "out",
        recipe="tiny",
        max_steps=6,
        settings={"batch": 1, "max_length": 256, "eval_steps": 100, "samples": 1, "sample_tokens": 16, "warmup": 0},
    )
    lines = [orjson.loads(line) for line in (done.folder / "metrics.jsonl").read_bytes().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 3
    assert done.held_out == 2
    assert done.samples[0].answer.startswith("ANIMAL=")


@pytest.mark.marathon
def test_a_trained_model_answers_in_the_format_and_stops(tmp_path):
    done = train(
        write_animals(tmp_path / "animals.jsonl"),
        out=tmp_path / "out",
        recipe="tiny",
        max_steps=32,
        settings={"batch": 1, "max_length": 128, "eval_steps": 100, "samples": 2, "sample_tokens": 48, "warmup": 0},
    )
    assert done.stopped == len(done.samples) == 2
    for sample in done.samples:  # none of them was trained on
        assert re.fullmatch(r"ANIMAL=.{2,12}; LETTERS=\d{1,2}; DONE", sample.answer)
