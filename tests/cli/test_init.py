"""`evolute init`: the recipe that it writes is valid, runs, and says nothing that is not so."""

import os
import pty
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evolute import api
from evolute.errors import InputError, SeedError
from evolute.pipeline.evolving import seed_options
from evolute.pipeline.starting import Start, draft, recognise_seeds, write_start
from evolute.pipeline.validating import validate
from evolute.recipe import ModelSpec, Price, load, resolve

ENDPOINT = ModelSpec(api="chat", base_url="http://localhost:8000/v1", model="m")
SCRIPTED = ModelSpec(api="scripted", model="scripted")


def start(seeds, spec=SCRIPTED, **more):
    return Start(str(seeds), spec, more.pop("rounds", 2), str(more.pop("run", "run")), **more)


def written(seeds, out, spec=SCRIPTED, **more):
    return write_start(start(seeds, spec, **more), out)


def uncommented(text):
    """The recipe with every field that stands in a comment."""
    return re.sub(r"^( *)# (\w+: (?:\w+|\{.*\}))$", r"\1\2", text, flags=re.M)


@pytest.mark.parametrize("spec", [SCRIPTED, ENDPOINT, ModelSpec(api="embedded")], ids=lambda spec: spec.api)
def test_the_draft_is_a_valid_recipe_and_so_are_the_fields_in_its_comments(spec):
    text = draft(start("seeds.jsonl", spec, rounds=3))
    recipe = resolve(yaml.safe_load(text))
    assert recipe.seeds.files == ("seeds.jsonl",)
    assert recipe.out == "run"
    assert recipe.evolve.rounds == 3
    assert recipe.models["default"].decisive() == spec.decisive()
    more = resolve(yaml.safe_load(uncommented(text)))
    assert more.seeds.limit == 20
    assert more.seeds.column == "instruction"
    if spec is ENDPOINT:
        assert (more.models["default"].price, more.models["default"].concurrency) == (Price(input=0.4, output=1.6), 8)


def test_for_the_embedded_model_it_is_the_shipped_recipe():
    mine = resolve(yaml.safe_load(draft(start("seeds.jsonl", ModelSpec(api="embedded"), rounds=2))))
    tiny = resolve(load("tiny"))
    assert mine.model_copy(update={"name": "tiny", "out": "", "seeds": tiny.seeds}) == tiny


def test_every_choice_has_a_comment():
    lines = draft(start("seeds.jsonl", ENDPOINT)).splitlines()
    untold = {"name", "seeds", "models", "evolve", "export", "duplicates", "contamination", "grade", "mixture"}
    untold |= {"default", "base_url", "model"}
    for before, line in pairwise(lines):
        name = line.strip().partition(":")[0]
        if line.strip() and "#" not in line and name not in untold:
            assert before.strip().startswith("#"), line


def test_the_draft_does_not_change_what_its_fields_default_to():
    """What it writes out are the defaults, so that leaving a line out means the same."""
    recipe = resolve(yaml.safe_load(draft(start("seeds.jsonl", ENDPOINT, rounds=4))))
    plain = resolve({"name": recipe.name, "out": "run", "seeds": {"files": ["seeds.jsonl"]}})
    assert recipe.model_copy(update={"models": plain.models}) == plain


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.text(st.characters(codec="utf-8")))
def test_names_are_quoted_so_that_yaml_gives_them_back(file, model):
    spec = ModelSpec(api="chat", base_url="http://localhost:8000/v1", model=model)
    recipe = resolve(yaml.safe_load(draft(Start(file, spec, 1, file), file)))
    assert recipe.seeds.files == (file,)
    assert recipe.out == file
    assert recipe.models["default"].model == model


def test_what_the_comments_promise_is_so(tmp_path, seeds_file):
    """A limit first, all seeds later, more rounds, another threshold, a grader: each pays for what is new."""
    seeds = seeds_file(6)
    path = written(seeds, tmp_path / "r.yaml", run=tmp_path / "run")
    text = path.read_text()

    def run(changed):
        path.write_text(changed)
        recipe = resolve(yaml.safe_load(changed))
        summary = api.evolve(list(recipe.seeds.files), out=recipe.out, recipe=path, seeds=seed_options(recipe.seeds))
        return summary, api.select(recipe.out, recipe=path)

    first, _ = run(text.replace("# limit: 20", "limit: 2"))
    assert first.seeds == 2
    whole, selected = run(text)
    alone = api.evolve(str(seeds), out=tmp_path / "alone", recipe=path)
    assert (whole.seeds, whole.calls) == (6, alone.calls)
    again, _ = run(text.replace("near: 0.8", "near: 0.9"))
    assert again.calls == whole.calls
    more, _ = run(text.replace("rounds: 2", "rounds: 3"))
    deep = api.evolve(str(seeds), out=tmp_path / "deep", recipe=path)
    assert whole.calls < more.calls == deep.calls
    run(text)
    before = api.status(tmp_path / "run").calls
    _, graded = run(text.replace("difficulty: false", "difficulty: true"))
    assert graded.kept == selected.kept
    assert api.status(tmp_path / "run").calls == before + graded.kept


def test_it_never_overwrites_unless_told(tmp_path):
    path = written("seeds.jsonl", tmp_path / "r.yaml")
    before = path.read_text()
    with pytest.raises(InputError, match="--force"):
        written("others.jsonl", path)
    assert path.read_text() == before
    write_start(start("others.jsonl"), path, force=True)
    assert "others.jsonl" in path.read_text()
    with pytest.raises(InputError, match="there is no folder"):
        written("seeds.jsonl", tmp_path / "none" / "r.yaml")


def test_seeds_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(SeedError, match="no such file"):
        recognise_seeds(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(InputError, match="standard input"):
        recognise_seeds("-")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SeedError, match="empty"):
        recognise_seeds(str(tmp_path / "empty.jsonl"))
    assert "on the hub" in recognise_seeds("somebody/something")


def test_from_flags_to_a_run(tmp_path, seeds_file, evolute_command):
    seeds = seeds_file(3)
    made = evolute_command("init", seeds.name, "--api", "scripted", "--rounds", 1, "--run", "here", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "Alpaca" in made.stderr
    found = validate(tmp_path / "recipe.yaml")
    assert any("seeds.files" in error for error in found.errors), "relative to where the command is given"
    ran = evolute_command("run", "recipe.yaml", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "here" / "dataset" / "README.md").is_file()
    again = evolute_command("init", seeds.name, "--api", "scripted", cwd=tmp_path)
    assert again.returncode == 2
    assert "there already" in again.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "evolute init FILE"),
        (["seeds.jsonl"], "--base-url URL --model NAME, or --api embedded"),
        (["seeds.jsonl", "--api", "chat"], "--base-url URL"),
        (["seeds.jsonl", "--base-url", "http://127.0.0.1:9/v1"], "--model NAME"),
        (["seeds.jsonl", "--base-url", "nonsense"], "is not a URL"),
        (["seeds.jsonl", "--yes", "--rounds", "99"], "less than or equal to 64, got 99"),
        (["seeds.jsonl", "--yes", "--price", "cheap"], "two numbers of dollars per million tokens"),
        (["sedes.jsonl", "--yes"], "Did you mean 'seeds.jsonl'?"),
    ],
)
def test_what_is_missing_is_named(tmp_path, seeds_file, evolute_command, flags, said):
    seeds_file(1)
    told = evolute_command("init", *flags, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert told.returncode == 2
    assert said in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "recipe.yaml").exists()


def test_the_one_model_that_an_endpoint_lists_is_taken(tmp_path, seeds_file, evolute_command, server):
    seeds_file(1)
    flags = ("init", "seeds.jsonl", "--base-url", server, "--price", "0.4,1.6", "--yes")
    told = evolute_command(*flags, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    spec = resolve(yaml.safe_load((tmp_path / "recipe.yaml").read_text())).models["default"]
    assert (spec.api, spec.model, spec.base_url, spec.price) == ("chat", "m", server, Price(input=0.4, output=1.6))


def converse(command, answers, folder):
    """Run a command on a terminal of its own, and type the answers."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, close_fds=True)
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_the_questions(tmp_path, seeds_file, server):
    """Nonsense is asked about again; Enter takes the default."""
    seeds_file(2)
    command = [sys.executable, "-m", "evolute", "init"]
    answers = ["nothing.jsonl", "seeds.jsonl", server, "1", "cheap", "1,2", "ninety", "3", ""]
    status, shown = converse(command, answers, tmp_path)
    assert status == 0, shown
    assert "no such file" in shown
    assert "  1  m" in shown
    recipe = resolve(yaml.safe_load((tmp_path / "recipe.yaml").read_text()))
    assert recipe.models["default"].model == "m"
    assert recipe.models["default"].price == Price(input=1, output=2)
    assert (recipe.evolve.rounds, recipe.out) == (3, "runs/seeds")


def test_enter_takes_the_embedded_model(tmp_path, seeds_file):
    seeds_file(2)
    status, shown = converse([sys.executable, "-m", "evolute", "init", "seeds.jsonl"], ["", "", ""], tmp_path)
    assert status == 0, shown
    recipe = resolve(yaml.safe_load((tmp_path / "recipe.yaml").read_text()))
    assert recipe.models["default"].api == "embedded"
    assert (recipe.evolve.rounds, recipe.evolve.demonstrations) == (2, True)


@pytest.fixture
def odd_seeds(tmp_path):
    """Seeds in a column of no usual name."""
    path = tmp_path / "odd.jsonl"
    path.write_text('{"nr": 1, "aufgabe": "Name the longest river of Europe and its sources."}\n')
    return path


def test_column_and_limit_are_written(tmp_path, odd_seeds, evolute_command):
    refused = evolute_command("init", odd_seeds.name, "--yes", cwd=tmp_path)
    assert refused.returncode == 2
    assert "It has: 'aufgabe', 'nr'. Name it: --column 'aufgabe'" in refused.stderr
    flags = ("--column", "aufgabe", "--limit", 7, "--api", "scripted", "--rounds", 1)
    told = evolute_command("init", odd_seeds.name, *flags, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    seeds = resolve(load(tmp_path / "recipe.yaml")).seeds
    assert (seeds.column, seeds.limit) == ("aufgabe", 7)
    assert evolute_command("run", "recipe.yaml", cwd=tmp_path).returncode == 0
    assert evolute_command("init", odd_seeds.name, "--limit", 0, "--force", cwd=tmp_path).returncode == 2


def test_the_column_is_asked_for_where_it_is_needed(tmp_path, odd_seeds):
    answers = [odd_seeds.name, "aufgaben", "", "nonsense", "", "many", "99", "1", ""]
    status, shown = converse([sys.executable, "-m", "evolute", "init"], answers, tmp_path)
    assert status == 0, shown
    assert "which column holds the instruction? It has: 'aufgabe', 'nr'" in shown
    assert "Did you mean 'aufgabe'?" in shown
    assert "is not a URL" in shown, "asked about again, not the end of it all"
    questions = shown.partition("is written")[0]
    assert "--" not in questions, "what was never given as a flag is not called one"
    assert resolve(load(tmp_path / "recipe.yaml")).seeds.column == "aufgabe"


def test_an_endpoint_that_does_not_answer_is_told(tmp_path, seeds_file):
    seeds_file(1)
    answers = ["http://127.0.0.1:9/v1", "my-model", "", "1", ""]
    status, shown = converse([sys.executable, "-m", "evolute", "init", "seeds.jsonl"], answers, tmp_path)
    assert status == 0, shown
    assert "nothing answers at http://127.0.0.1:9/v1; going on without its list of models" in shown
    assert resolve(load(tmp_path / "recipe.yaml")).models["default"].model == "my-model"


def test_a_folder_that_holds_a_run_is_told_and_a_free_one_proposed(tmp_path, seeds_file, evolute_command):
    seeds = seeds_file(1)
    api.evolve(
        str(seeds), out=tmp_path / "runs" / "seeds", recipe="wizardlm", settings={"models.default.api": "scripted"}
    )
    flags = ("init", "seeds.jsonl", "--api", "scripted", "--force")
    said = "runs/seeds holds a run already, with which `evolute run` would go on; runs/seeds-2 is free"

    def out():
        return resolve(load(tmp_path / "recipe.yaml")).out

    told = evolute_command(*flags, cwd=tmp_path)
    assert said in told.stderr
    assert out() == "runs/seeds-2"
    told = evolute_command(*flags, "--run", "runs/seeds", cwd=tmp_path)
    assert said in told.stderr
    assert out() == "runs/seeds", "what is asked for is done"
    status, shown = converse([sys.executable, "-m", "evolute", *flags], ["1", ""], tmp_path)
    assert status == 0, shown
    assert "[runs/seeds-2]" in shown
    assert out() == "runs/seeds-2"


def test_a_bad_row_is_told_with_what_a_recipe_can_say_of_it(tmp_path, evolute_command):
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a lake."}\n{"instruction": 7}\n')
    told = evolute_command("init", "seeds.jsonl", "--api", "scripted", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "seeds.jsonl, line 2: 'instruction' is a number, not" in told.stderr
    assert ": mend it, or write `skip_bad: true` under `seeds`" in told.stderr
    assert "--skip-bad" not in told.stderr


def test_programming_tasks_evolve_as_the_wizardcoder_recipe_has_it(tmp_path, evolute_command):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text("def f(x):\n    y = x + 1\n    z = y * 2\n    return z\n")
    (tmp_path / "tasks.txt").write_text("Write a Python function that adds.\n")
    flags = ("--base-url", "http://localhost:9/v1", "--model", "m", "--yes")
    for name, more in (("code:pkg", ()), ("tasks.txt", ("--code",))):
        told = evolute_command("init", name, *flags, *more, "--out", f"{name[:4]}.yaml", cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        evolve = resolve(yaml.safe_load((tmp_path / f"{name[:4]}.yaml").read_text()), "").evolve
        assert (evolve.families, evolve.judge, evolve.rounds) == (("code",), False, 3)
    assert "tasks: 1 Python" in evolute_command("init", "code:pkg", *flags, "--out", "x.yaml", cwd=tmp_path).stderr
