import json

NAMES = [
    "add-constraints", "code-complexity", "code-constraints", "code-rare-requirement", "code-reasoning",
    "code-wrong-reference", "complicate-input", "concretize", "deepen", "in-breadth", "increase-reasoning",
]  # fmt: skip
MINE = """---
name: shout
family: in-depth
source: "mine \x1b[31m"
extends: _in-depth.md
---
## Method
ask for capital letters.
"""


def test_list_names_all_and_the_users_own(evolute_command, tmp_path):
    shown = evolute_command("operations", "list")
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == NAMES
    (tmp_path / "shout.md").write_text(MINE.replace("\x1b", "\\e"), encoding="utf-8")
    found = json.loads(evolute_command("operations", "list", "--json", "--operations", tmp_path).stdout)
    assert [operation["name"] for operation in found] == sorted([*NAMES, "shout"])
    assert found[-1]["file"] == str(tmp_path / "shout.md")
    plain = evolute_command("operations", "list", "--operations", tmp_path).stdout
    assert "\x1b" not in plain
    assert "\\x1b[31m" in plain


def test_show_prints_the_text_that_is_hashed(evolute_command):
    shown = evolute_command("operations", "show", "deepen")
    assert "depth and the breadth of the inquiry" in shown.stdout
    assert "Not Equal" in evolute_command("operations", "show", "equality").stdout
    missing = evolute_command("operations", "show", "deepn")
    assert missing.returncode == 2
    assert "no operation 'deepn'" in missing.stderr


def test_try_shows_prompt_completion_and_what_the_rules_say(evolute_command, server):
    where = ("--base-url", server, "--model", "m")
    shown = evolute_command("operations", "try", "add-constraints", "Name three trees.\x1b[2J", *where)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    assert "Act as a Prompt Rewriter." in shown.stdout
    assert "the rules find nothing wrong" in shown.stdout
    found = json.loads(evolute_command("operations", "try", "deepen", "Name three trees.", *where, "--json").stdout)
    assert found["reason"] is None
    assert found["instruction"] == found["completion"]
    assert [message["role"] for message in found["messages"]] == ["user"]


def test_try_wants_a_model_for_an_endpoint(evolute_command):
    failed = evolute_command("operations", "try", "deepen", "Name three trees.", "--base-url", "http://127.0.0.1:9/v1")
    assert failed.returncode == 2
    assert "--model NAME" in failed.stderr
