"""lm-evaluation-harness as the scorer: what it logged is read, and a run that fails leaves nothing."""

import json
import sys
from pathlib import Path

import pytest

from evolute.cli.choices import Asked, arc_challenge, gsm8k
from evolute.errors import InputError
from evolute.evaluate.choice.tasks import make_task
from evolute.pipeline.choices import marked_with
from evolute.pipeline.harness import evaluate_with_harness, read_samples, write_mirror

DATA = Path(__file__).parents[3] / "shared" / "data"
LOGGED = DATA / "lm_eval_fixtures" / "samples" / "samples_local_arc_challenge.jsonl.gz"
FAILS = "import sys\nprint('loading the model')\nsys.exit('no weights were found')\n"
# Logs as the harness does: of each question three log-likelihoods, for the questions in its folder.
LOGS = """
import json, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--output_path") + 1]) / "model"
out.mkdir(parents=True)
rows = [json.loads(line) for line in open("allenai/ai2_arc/ARC-Challenge/test.jsonl")]
with open(out / "samples_arc_challenge_2026-01-01.jsonl", "w") as file:
    for n, row in enumerate(rows[:KEPT]):
        prompt = f"Question: {row['question']}\\nAnswer:"
        pairs = {f"gen_args_{i}": {"arg_0": prompt, "arg_1": " " + c} for i, c in enumerate(row["choices"]["text"])}
        said = [[str(-1.0 - i), str(i == 0)] for i in range(len(pairs))]
        file.write(json.dumps({"doc_id": n, "arguments": pairs, "filtered_resps": said}) + "\\n")
"""


@pytest.fixture
def asked(tmp_path):
    """A benchmark of four questions, and a folder that looks like a model's: the stand-ins read no weights."""
    data, model = tmp_path / "arc_challenge", tmp_path / "a, model"
    data.mkdir()
    rows = [
        {"id": f"Q{n}", "question": f"What is {n}?", "answerKey": "ABC"[n % 3],
         "choices": {"text": ["a", "two", "many"], "label": ["A", "B", "C"]}}
        for n in range(4)
    ]  # fmt: skip
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    return {"model": model, "data": tmp_path, "shots": 0, "out": tmp_path / "out"}


def python_that_runs(tmp_path, script):
    """A program that takes the harness's arguments in its place."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)
    return str(path)


def test_what_it_logged_is_scored_with_our_metrics_and_ids(asked, tmp_path):
    python = python_that_runs(tmp_path, LOGS.replace("KEPT", "9"))
    score = evaluate_with_harness("arc-challenge", **asked, python=python).score
    assert (score.metric, score.measure.value, score.n, score.unscored) == ("acc_norm", 25.0, 4, 0)
    assert score.also["acc"].value == 50.0  # -1, -2, -3: "a" is the likeliest, by character "two"
    assert [item.id for item in score.items] == ["Q0", "Q1", "Q2", "Q3"]
    assert score.notes == ("scored by lm-evaluation-harness 0.4.13",)
    assert json.loads((asked["out"] / "results.json").read_text())["score"]["metric"] == "acc_norm"
    assert len((asked["out"] / "choices.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (FAILS, "(?s)failed.*loading the model.*no weights were found"),
        (LOGS.replace("KEPT", "3"), "question 3: 0 of 3 choices are scored"),
        (
            LOGS.replace("KEPT", "9").replace("arg_0", "asked"),
            "line 1: not as lm-evaluation-harness .* logs a question",
        ),
        (LOGS.replace("KEPT", "9").replace("str(-1.0 - i)", "'low'"), "line 1: not as .*ValueError"),
        ("", "wrote no samples of arc_challenge"),
    ],
)
def test_a_run_that_fails_or_logs_too_little_says_so_and_writes_nothing(asked, tmp_path, script, message):
    with pytest.raises(InputError, match=message):
        evaluate_with_harness("arc-challenge", **asked, python=python_that_runs(tmp_path, script))
    assert not asked["out"].exists()


def test_the_batch_size_is_handed_on(asked, tmp_path):
    script = "import sys\nsys.exit(sys.argv[sys.argv.index('--batch_size') + 1] + ' at once')\n"
    with pytest.raises(InputError, match="8 at once"):
        evaluate_with_harness("arc-challenge", **asked, python=python_that_runs(tmp_path, script), batch_size=8)
    with pytest.raises(InputError, match="--harness-batch must be at least 1, got 0"):
        evaluate_with_harness("arc-challenge", **asked, batch_size=0)


@pytest.mark.parametrize("bound", [{"max_calls": 3}, {"max_minutes": 1.0}, {"batch_tokens": 64}])
def test_bounds_that_it_does_not_keep_are_refused(asked, bound):
    given = Asked(model=str(asked["model"]), data=asked["data"], backend="harness", **bound)
    with pytest.raises(InputError, match=r"--backend harness knows nothing of --(max|batch)-"):
        arc_challenge(asked=given)


def test_gsm8k_takes_no_options_of_log_likelihoods(asked):
    with pytest.raises(InputError, match="not for gsm8k"):
        gsm8k(asked=Asked(model="smollm2", data=asked["data"], dtype="float32"))


def test_what_it_cannot_run_is_refused(asked):
    with pytest.raises(InputError, match="gsm8k is not run"):
        evaluate_with_harness("gsm8k", **asked)
    with pytest.raises(InputError, match="cannot be run"):
        evaluate_with_harness("arc-challenge", **asked, python="/no/such/python")


def test_the_harness_finds_questions_where_its_tasks_look(asked, tmp_path):
    write_mirror(tmp_path / "mirror", make_task("arc-challenge", tmp_path, shots=0, limit=2), tmp_path)
    folder = tmp_path / "mirror" / "allenai" / "ai2_arc"
    assert "config_name: ARC-Challenge" in (folder / "README.md").read_text()
    assert len((folder / "ARC-Challenge" / "test.jsonl").read_text().splitlines()) == 2


@pytest.mark.skipif(not LOGGED.exists(), reason="the harness's stored samples are not on this machine")
def test_a_stored_log_of_the_harness_gives_its_own_accuracy(tmp_path):
    (tmp_path / "samples_arc_challenge_2026.jsonl.gz").write_bytes(LOGGED.read_bytes())
    task = make_task("arc-challenge", DATA, limit=50)
    found = read_samples(tmp_path, task, "smollm2")
    marked = [marked_with(question, found) for question in task.questions]
    assert sum(one.metrics["acc_norm"] for one in marked) / 50 == pytest.approx(0.34)
    assert len(found.notes) == 1  # every prompt is to the letter ours
