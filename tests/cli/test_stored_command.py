"""`evolute evaluate alpaca-eval|mt-bench|vicuna --judgments`, as a user runs it."""

import json

import pytest


@pytest.fixture
def judgments(tmp_path):
    def write(rows, name):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def grade(number, text="Rating: [[8]]", score=8):
    return {"question_id": number, "model": "m\x1b[2J", "judge": ["gpt-4", "single-v1"], "judgment": text,
            "score": score, "turn": 1}  # fmt: skip


def test_scores_are_printed_for_scripts(evolute_command, judgments):
    rows = [
        {"instruction": f"Name {n} birds.", "generator_1": "gpt4", "generator_2": "m", "preference": n % 2 + 1}
        for n in range(20)
    ]
    done = evolute_command("evaluate", "alpaca-eval", "--judgments", judgments(rows, "a.json"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)["m"]
    assert (said["win_rate"], said["n_total"], said["n_wins"], said["unscored"]) == (50, 20, 10, 0)
    assert said["standard_error"] == pytest.approx(100 * 0.5129892 / 20**0.5)


def test_scores_are_shown_and_written_for_people(evolute_command, judgments, tmp_path):
    rows = [grade(81 + n) for n in range(20)] + [grade(101, "No\x07 comment.", -1)]
    path = judgments(rows, "single.jsonl")
    done = evolute_command("evaluate", "mt-bench", "--judgments", path, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "8.00" in done.stdout
    assert "unscored: 1 of 21" in done.stdout
    assert "\x1b" not in done.stdout
    assert json.loads((tmp_path / "out/results.json").read_text())["scores"]["m\x1b[2J"]["n"] == 20


def test_a_wrong_file_is_one_message(evolute_command, judgments):
    path = judgments([{"question_id": 1}], "review_a_b.jsonl")
    done = evolute_command("evaluate", "vicuna", "--judgments", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}, line 1: answer1_id: expected a text, got nothing" in done.stderr
    assert len(done.stderr.splitlines()) == 1
