"""What a run's summary adds up to, whatever was asked after the evolution."""

import pytest

from evolute import api

PRICED = {
    "models.default.api": "scripted",
    "models.default.model": "scripted",
    "models.default.price": {"input": 1.0, "output": 2.0},
    "evolve.rounds": 2,
}


@pytest.fixture
def run(tmp_path, seeds_file):
    api.evolve(str(seeds_file(6)), out=tmp_path / "run", recipe="wizardlm", settings=PRICED)
    return tmp_path / "run"


def tokens(uses):
    return sum(use.tokens for use in uses)


def total(summary):
    return summary.prompt_tokens + summary.completion_tokens


def test_the_operations_are_all_that_an_evolution_used(run):
    summary = api.status(run)
    assert summary.others == []
    assert tokens(summary.operations) == total(summary) > 0
    assert summary.cost_per_kept == pytest.approx(summary.cost / summary.kept)


def test_the_grader_and_further_responses_have_lines_of_their_own(run, evolute_command):
    before = api.status(run)
    api.select(run, settings={"select.grade.difficulty": True, "select.grade.responses": 2})
    after = api.status(run)
    assert [use.operation for use in after.others][:2] == ["(grader)", "(further responses)"]
    assert tokens(after.operations) == tokens(before.operations)
    assert tokens(after.operations) + tokens(after.others) == total(after) > total(before)
    grader = sum(part.prompt_tokens + part.completion_tokens for part in after.roles if part.role == "grader")
    assert after.others[0].tokens == grader > 0
    assert sum(use.cost for use in [*after.operations, *after.others]) == pytest.approx(after.cost)
    if len(after.others) == 2:
        assert after.cost_per_kept == pytest.approx(before.cost_per_kept)
    assert after.cost_per_kept < after.cost / after.kept
    shown = evolute_command("status", run).stdout
    assert f"{grader:,}" in next(line for line in shown.splitlines() if line.startswith("(grader)"))


def test_the_calls_of_an_earlier_recipe_are_other_calls(run):
    before = api.status(run)
    api.evolve(out=run, settings={"roles.responder.temperature": 0.5})
    after = api.status(run)
    assert [use.operation for use in after.others] == ["(other calls)"]
    assert tokens(after.operations) + tokens(after.others) == total(after) > total(before)
    assert after.cost_per_kept == pytest.approx(after.cost / after.kept)
