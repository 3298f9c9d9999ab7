"""`evolute recipe explain` and `validate`."""

import re
from pathlib import Path

import pytest

from evolute import api
from evolute import recipe as recipes
from evolute.errors import RecipeError
from evolute.pipeline.validating import validate
from evolute.recipe import Recipe
from evolute.recipe.explaining import as_markdown, explain
from evolute.recipe.trainingfiles import train_recipes
from evolute.recipe.validating import validate as validate_fields

DOCS = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def test_every_field_has_a_description():
    fields = explain()
    assert {field.name for field in fields if len(field.description) < 10} == set()
    assert len(fields) > 100


def test_every_field_of_every_part_is_explained():
    """Whatever class of the recipe's modules has fields, they are among those explained."""
    last = {field.name.rpartition(".")[2] for field in explain()}
    parts = [part for part in vars(recipes).values() if isinstance(part, type) and hasattr(part, "model_fields")]
    assert len(parts) >= 8
    for part in parts:
        assert set(part.model_fields) <= last


def test_defaults_and_ranges_are_those_of_the_recipe():
    by_name = {field.name: field for field in explain()}
    assert by_name["roles.judge.temperature"].default == "0.0"
    assert by_name["evolve.rounds"].allowed == "at least 0, at most 64"
    assert by_name["select.duplicates.near"].type == "number or null"
    assert by_name["select.duplicates.near"].allowed == "more than 0, at most 1"
    assert by_name["models.NAME.price.input"].default == "must be given"
    assert "anthropic" in by_name["models.NAME.api"].allowed
    dumped = Recipe().model_dump(mode="json")
    for name, field in by_name.items():
        value = dumped
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, int | float) and not field.is_group:
            assert field.default in (str(value), str(value).lower())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("select.duplicates.near", ["select.duplicates.near"]),
        ("models.default.price", [f"models.NAME.price{end}" for end in ("", ".input", ".output", ".cached")]),
        ("evolve", [field.name for field in explain() if field.name.split(".")[0] == "evolve"]),
    ],
)
def test_a_field_or_a_group_can_be_asked_for(name, found):
    assert [field.name for field in explain(name)] == found


@pytest.mark.parametrize(
    ("wrong", "near"), [("evolve.round", "evolve.rounds"), ("selct", "select"), ("near", "select.duplicates.near")]
)
def test_a_wrong_name_is_told_the_nearest(wrong, near):
    with pytest.raises(RecipeError, match=re.escape(repr(near))):
        explain(wrong)


def test_explain_fits_a_terminal_of_80_columns(evolute_command):
    told = evolute_command("recipe", "explain")
    assert told.returncode == 0, told.stderr
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert "select.duplicates.near\n    number or null, more than 0, at most 1; default 0.8\n" in told.stdout
    wrong = evolute_command("recipe", "explain", "evolve.round")
    assert wrong.returncode == 2
    assert "did you mean 'evolve.rounds'?" in wrong.stderr


def test_the_documents_tables_are_those_that_explain_makes():
    text = DOCS.read_text(encoding="utf-8")
    made = as_markdown(explain())
    stands = re.search(r"<!-- fields: .*?-->\n\n(.*)\n<!-- end of fields -->", text, re.DOTALL)
    assert stands, "docs/recipes.md has no place for the fields"
    assert stands[1] == made, "bring it up to date with: evolute recipe explain --markdown"


BAD = """\
name: x
evolve:
  rounds: 99
  roundz: 3
  operations: {nope: 1, deepen: -1}
  rounds: 98
models:
  default: {api: chat, headers: {Authorization: "Bearer sk-secret"}}
select:
  grade: {band: [5, 2]}
  duplicates: {encoder: statc}
seeds: {files: [nofile.jsonl]}
roles:
  judge: {model: other}
"""


def test_all_errors_come_at_once_with_their_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    errors = validate(path).errors
    expected = {
        f"{path}, line 6: 'evolve.rounds' is written twice (line 3 as well)": "keep one",
        f"{path}, line 6: evolve.rounds: ": "got 98",
        f"{path}, line 4: unknown field 'evolve.roundz'": "did you mean 'rounds'?",
        f"{path}, line 5: evolve.operations.deepen: ": "got -1",
        f"{path}, line 8: models.default.headers: ": "Write $NAME in its value",
        f"{path}, line 10: select.grade: band": "set difficulty true",
        f"{path}, line 14: roles.judge.model is 'other'": "['default']",
        f"{path}: seeds.files: nofile.jsonl: no such file": "",
        f"{path}: select.duplicates.encoder: there is no encoder 'statc'": "write 'static'",
        f"{path}: evolve.operations: no operation 'nope'": "there are: add-constraints",
    }
    assert len(errors) == len(expected)
    for beginning, remedy in expected.items():
        (error,) = (error for error in errors if error.startswith(beginning))
        assert remedy in error
    assert "sk-secret" not in "".join(errors)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [1", "not valid YAML"), ("- a\n- b\n", "a mapping of fields, not list"), (b"\xff\xfe\x00", "as a text file")],
)
def test_what_is_no_recipe(tmp_path, text, said):
    path = tmp_path / "r.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    recipe, errors = validate_fields(path)
    assert recipe is None
    assert len(errors) == 1
    assert said in errors[0]


def test_aliases_are_followed_once(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("models: &a\n  default: *a\n")
    _, errors = validate_fields(path)
    assert any("line 2: " in error for error in errors)
    path.write_text("seeds:\n  files: &f [a.jsonl]\n  where: *f\n  limit: 0\n")
    recipe, errors = validate_fields(path)
    assert recipe.seeds.where == ("a.jsonl",)
    assert [error.partition(":")[0] for error in errors] == [f"{path}, line 4"]


def plan_of(tmp_path, seeds, more=""):
    path = tmp_path / "r.yaml"
    path.write_text(
        f"seeds: {{files: ['{seeds}']}}\n"
        "models: {default: {base_url: 'https://api.openai.com/v1', model: gpt-4o-mini}}\n" + more
    )
    return validate(path)


def test_the_plan_says_what_run_would_do(tmp_path, seeds_file, monkeypatch):
    seeds = seeds_file(3)
    found = plan_of(tmp_path, seeds, "evolve: {rounds: 2}\nselect: {grade: {difficulty: true}}\n")
    told = "\n".join(line for _, line in found.plan)
    for expected in ("Alpaca", "2 rounds", "about 7 calls", "the grader: difficulty", "$0.15 in", "wizardlm/dataset"):
        assert expected in told
    assert "not set" in told
    assert not found.errors
    assert "OPENAI_API_KEY" in "".join(found.missing)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    found = plan_of(tmp_path, seeds)
    assert found.ready
    assert "sk-very-secret" not in repr(found)


def test_conditions_and_corpora_are_looked_at(tmp_path, seeds_file):
    seeds = seeds_file(3)
    path = tmp_path / "r.yaml"
    path.write_text(
        f"seeds: {{files: ['{seeds}'], where: ['categry=math']}}\n"
        "models: {default: {api: scripted}}\n"
        "select: {contamination: {corpora: ['mine=nothing.jsonl']}}\n"
    )
    found = validate(path)
    assert len(found.errors) == 2
    assert "categry" in found.errors[0]
    assert "nothing.jsonl" in found.errors[1]


@pytest.mark.parametrize("name", ["wizardlm", "wizardcoder", "tiny"])
def test_shipped_recipes_have_no_errors_and_want_seeds(name):
    found = validate(name)
    assert not found.errors
    assert any("seeds.files" in lacking for lacking in found.missing)


def test_the_shipped_ones_are_listed_and_shown(evolute_command):
    told = evolute_command("recipe", "list").stdout
    names = [*recipes.shipped(), *(f"train/{name}" for name in train_recipes())]
    assert [line.split()[0] for line in told.splitlines() if line[0] != " "] == names
    assert "SmolLM2-135M-Instruct runs inside Evolute" in told
    shown = evolute_command("recipe", "show", "wizardlm")
    assert shown.stdout == recipes.recipe_text("wizardlm")
    assert evolute_command("recipe", "show", "wizard").returncode == 2


def test_the_command(tmp_path, evolute_command, seeds_file):
    (tmp_path / "bad.yaml").write_text(BAD)
    told = evolute_command("recipe", "validate", "bad.yaml", cwd=tmp_path)
    assert told.returncode == 2
    assert "bad.yaml, line 4: unknown field 'evolve.roundz'" in told.stderr
    assert "Traceback" not in told.stderr
    (tmp_path / "good.yaml").write_text(
        f"seeds: {{files: ['{seeds_file(2)}']}}\nmodels: {{default: {{api: scripted}}}}\n"
    )
    good = evolute_command("recipe", "validate", "good.yaml", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert "good.yaml: nothing is wrong" in good.stdout


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("duplicates.near=0.9", "unknown field 'duplicates.near'; did you mean 'select.duplicates.near'?"),
        ("near=0.9", "unknown field 'near'; did you mean 'select.duplicates.near'?"),
        ("select.near=0.9", "unknown field 'select.near'; did you mean 'select.duplicates.near'?"),
        ("rounds=3", "unknown field 'rounds'; did you mean 'evolve.rounds'?"),
        ("grade={difficulty: true}", "unknown field 'grade.difficulty'; did you mean 'select.grade.difficulty'?"),
        ("grade={difficulty: true, sample: 3}", "unknown field 'grade'; did you mean 'select.grade'?"),
        ("base_url=x", "did you mean 'models.default.base_url'?"),
        ("temperature=1", "did you mean 'roles.evolver.temperature' or 'roles.judge.temperature' or "),
        ("evolve.roundz=3", "unknown field 'evolve.roundz'; did you mean 'rounds'?"),
        ("evolve.rounds=99", "evolve.rounds: Input should be less than or equal to 64, got 99"),
        ("select.mixture.by=length", "select.mixture.by: Input should be"),
    ],
)
def test_what_is_wrong_with_set_blames_set(tmp_path, seeds_file, setting, said):
    run = tmp_path / "run"
    api.evolve(str(seeds_file(1)), out=run, recipe="wizardlm", settings={"models.default.api": "scripted"})
    with pytest.raises(RecipeError) as error:
        api.evolve(out=run, settings=dict([recipes.parse_assignment(setting)]))
    assert str(error.value).startswith(
        f"--set: {said}" if said.startswith(("unknown", "evolve", "select")) else "--set:"
    )
    assert said in str(error.value)


def test_a_wrong_field_of_the_file_still_blames_the_file(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("evolve: {rounds: 99, attempts: 1}\n")
    with pytest.raises(RecipeError) as error:
        api.evolve("seeds.jsonl", out=tmp_path / "run", recipe=path, settings={"evolve.attempts": 99})
    assert [line.partition(": ")[0] for line in str(error.value).splitlines()] == [str(path), "--set"]


def test_seeds_and_calls_are_counted(tmp_path, seeds_file):
    """Six seeds, of which two have a response and one is there twice; then as many calls as the run makes at most."""
    seeds = seeds_file(6)
    seeds.write_bytes(seeds.read_bytes() + seeds.read_bytes().splitlines()[1] + b"\n")
    path = tmp_path / "r.yaml"
    text = f"seeds: {{files: ['{seeds}']}}\nmodels: {{default: {{api: scripted}}}}\nevolve: {{rounds: 2}}\n"

    def told(more=""):
        path.write_text(text + more)
        found = validate(path)
        assert not found.errors
        return "\n".join(line for _, line in found.plan)

    assert "6 seeds: about 40 calls to evolve them where every child is kept" in told()
    assert "and the grader's" in told("select: {grade: {difficulty: true}}\n")
    path.write_text(text.replace("files:", "limit: 2, files:"))
    assert "2 seeds: about 13 calls" in "\n".join(line for _, line in validate(path).plan)
    path.write_text(text.replace("files:", "sample: 3, files:"))
    assert "3 seeds: " in "\n".join(line for _, line in validate(path).plan)


def test_a_bad_row_behind_the_first_ones_is_found(tmp_path, seeds_file):
    seeds = seeds_file(40)
    seeds.write_bytes(seeds.read_bytes() + b'{"instruction": 5}\n')
    found = plan_of(tmp_path, seeds)
    (error,) = found.errors
    assert "line 41: 'instruction' is a number" in error


def test_what_is_piped_keeps_to_the_width_without_padding(tmp_path, evolute_command, seeds_file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    path = tmp_path / "r.yaml"
    path.write_text(f"seeds: {{files: ['{seeds_file(3).name}']}}\nmodels: {{default: {{api: scripted}}}}\n")
    lines = evolute_command("recipe", "validate", "r.yaml", cwd=tmp_path).stdout.splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= 70
    assert all(line == line.rstrip() for line in lines)
