"""A training that is killed goes on, and ends with the weights of one that was not."""

import signal
import subprocess
import sys

import orjson
import pytest
from tinyllama import write_rows, write_tiny

from evolute.errors import InputError, Interrupted, RunBusy
from evolute.pipeline.training import train
from evolute.train.arguments import warmup_steps
from evolute.train.resume import alone

torch = pytest.importorskip("torch")

SETTINGS = {
    "learning_rate": 1e-3, "warmup": 0.2, "batch": 4, "micro_batch": 2, "max_length": 96, "precision": "float32",
    "gradient_checkpointing": False, "steps": 12, "save_steps": 2, "samples": 0, "method": "lora", "lora.dropout": 0.1,
    "validation": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return write_rows(folder / "rows.jsonl", 10), write_tiny(folder / "tiny")


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """The weights of an uninterrupted training."""
    rows, base = given
    return train(rows, out=tmp_path_factory.mktemp("whole") / "out", base=str(base), settings=SETTINGS)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def killed(rows, base, out):
    """A training in a process of its own, killed once its second checkpoint is whole."""
    script = (
        "import sys, orjson; from pathlib import Path; from evolute.pipeline.training import train\n"
        "rows, base, out, settings = sys.argv[1:]\n"
        "say = lambda line: print(line, flush=True)\n"
        "train(rows, out=Path(out), base=base, settings=orjson.loads(settings), say=say)"
    )
    settings = orjson.dumps(SETTINGS | {"log_steps": 1}).decode()
    command = [sys.executable, "-c", script, str(rows), str(base), str(out), settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for _ in process.stdout:
            if (out / "checkpoints" / "checkpoint-4" / "complete.json").is_file():
                process.send_signal(signal.SIGKILL)
                break
    finally:
        process.kill()
        process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert not (out / "config.json").exists()


def test_after_sigkill_the_weights_are_those_of_an_uninterrupted_training(given, whole, tmp_path):
    rows, base = given
    killed(rows, base, tmp_path / "out")
    said = []
    again = train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS, say=said.append)
    assert again.resumed >= 4
    assert any("going on from" in line for line in said)
    assert weights(again.folder) == weights(whole.folder)
    steps = [orjson.loads(line) for line in (again.folder / "metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in steps if "loss" in line] == list(range(1, 13))


def test_an_interrupt_leaves_a_checkpoint_from_which_the_same_command_goes_on(given, whole, tmp_path):
    rows, base = given
    said = []

    def say(line):
        said.append(line)
        if line.startswith("step 1 of 12: loss"):
            signal.raise_signal(signal.SIGINT)

    rare = SETTINGS | {"save_steps": 50}
    with pytest.raises(Interrupted, match=r"stopped after step 2 of 12; the same command goes on from there"):
        train(rows, out=tmp_path / "out", base=str(base), settings=rare, say=say)
    assert "stopping with a checkpoint after this step; Ctrl-C once more stops at once" in said
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = train(rows, out=tmp_path / "out", base=str(base), settings=rare)
    assert again.resumed == 2
    assert weights(again.folder) == weights(whole.folder)


@pytest.mark.parametrize(("warmup", "steps", "expected"), [(0.03, 4, 0), (0.03, 100, 3), (0.0, 9, 0), (5.0, 9, 5)])
def test_a_short_training_loses_no_step_to_the_warm_up(warmup, steps, expected):
    assert warmup_steps(warmup, steps) == expected


@pytest.fixture
def partly(given, whole, tmp_path):
    """A training that has checkpoints, and no model yet."""
    import shutil

    out = shutil.copytree(whole.folder, tmp_path / "out")
    for name in ("config.json", "model.safetensors"):
        (out / name).unlink()
    record = orjson.loads((out / "training.json").read_bytes())
    (out / "training.json").write_bytes(orjson.dumps(record | {"finished": False}))
    return out


def resumed(given, out):
    said = []
    rows, base = given
    return train(rows, out=out, base=str(base), settings=SETTINGS, say=said.append), said


def test_a_checkpoint_cut_off_is_passed_over(given, whole, partly):
    last = max((partly / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    (last / "complete.json").unlink()
    again, said = resumed(given, partly)
    assert any("was not written to its end; the one before is taken" in line for line in said)
    assert weights(again.folder) == weights(whole.folder)


def test_a_damaged_checkpoint_is_passed_over(given, whole, partly):
    last = max((partly / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    with (last / "optimizer.pt").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\x00\xff")
    again, said = resumed(given, partly)
    assert any("is damaged (optimizer.pt); the one before is taken" in line for line in said)
    assert weights(again.folder) == weights(whole.folder)


def test_where_no_checkpoint_is_whole_that_is_said(given, partly):
    for checkpoint in (partly / "checkpoints").glob("checkpoint-*"):
        (checkpoint / "optimizer.pt").write_bytes(b"")
    with pytest.raises(InputError, match="no checkpoint is whole"):
        resumed(given, partly)


def test_one_process_at_a_time_trains_in_a_folder(given, tmp_path):
    out, (rows, base) = tmp_path / "out", given
    asked = {"out": out, "base": str(base), "settings": SETTINGS | {"steps": 1}}
    said = []

    def meanwhile(line):
        """Start the same training while this one is under way."""
        said.append(line)
        if line.startswith("step 1 of"):
            with pytest.raises(RunBusy, match="is being trained in by process"):
                train(rows, **asked)
            # Where it began before the first had its folder, and comes to it while that trains:
            with pytest.raises(RunBusy, match="is being trained in by process"), alone(out, out / "checkpoints"):
                pass
            said.append("refused")

    train(rows, **asked, say=meanwhile)
    assert "refused" in said
    assert train(rows, **asked).again


def test_what_a_killed_training_left_half_written_is_taken_away(given, whole, partly):
    (partly / ".evolute-0123456789ab.partial").mkdir()
    (partly / ".evolute-0123456789ab.partial" / "model.safetensors").write_bytes(b"half")
    (partly / ".evolute-ba9876543210.partial").write_bytes(b"half")
    resumed(given, partly)
    assert not list(partly.glob(".evolute-*"))


def test_a_template_that_was_changed_is_another_training(given, tmp_path):
    rows, base = given
    template = tmp_path / "mine.jinja"
    settings = SETTINGS | {"format": str(template), "steps": 1}
    body = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    template.write_text(body + "assistant:")
    train(rows, out=tmp_path / "out", base=str(base), settings=settings)
    template.write_text(body + "answer:")
    with pytest.raises(InputError, match=r"another training \(another template\)"):
        train(rows, out=tmp_path / "out", base=str(base), settings=settings)
