import json
import os
import subprocess
import sys

import numpy as np
import pytest
from faults import row
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.records import Message, Reason
from evolute.select.lengths import BATCH, TokenLengths, load_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="counting tokens needs the select extra")
WORDS = ["[UNK]", "name", "three", "trees", "oak", "ash", "elm", "why", "?", ","]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tokenizer of whole words, whose file says to cut at 4 tokens and to pad to 16."""
    kind = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    kind.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    kind.post_processor = tokenizers.processors.TemplateProcessing("[UNK] $A [UNK]", None, [("[UNK]", 0)])
    kind.enable_truncation(4)
    kind.enable_padding(length=16)
    path = tmp_path_factory.mktemp("model")
    kind.save(str(path / "tokenizer.json"))
    return path


def counted(folder, rows, budget=100):
    lengths = TokenLengths(folder, budget)
    lengths.add(rows)
    return lengths


def test_the_whole_conversation_counts(folder):
    before = (Message("user", "why ?"), Message("assistant", "oak"))
    rows = [
        row("name three trees", "oak , ash , elm"),
        row("name trees", "", input="three"),
        row("name trees", None),
        row("why ?", "elm", history=before),
    ]
    prompts, responses = counted(folder, rows).lengths
    assert prompts.tolist() == [3, 3, 2, 5]
    assert responses.tolist() == [5, 0, 0, 1]


def test_rows_over_the_budget_are_found_with_their_tokens(folder):
    rows = [row("name three trees", "oak"), row("why ?", "oak , ash , elm"), row("why", None)]
    hits = counted(folder, rows, budget=4).hits()
    (hit,) = hits.hits
    assert (hit.row, hit.reason, hit.score) == (1, Reason.TOO_MANY_TOKENS, 7.0)
    assert hit.evidence == {"prompt": 2, "response": 5, "limit": 4}
    assert hits.select(8).kept == [0, 1, 2], "a higher budget can be looked at"


def test_a_path_to_the_file_is_as_good_as_the_folder(folder):
    assert load_tokenizer(folder / "tokenizer.json").encode("name trees", add_special_tokens=False).ids == [1, 3]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.integers(0, 20))
def test_lengths_do_not_depend_on_how_rows_are_given(folder, texts, cut):
    rows = [row(asked, said) for asked, said in texts]
    parts = TokenLengths(folder, 5)
    parts.add(rows[:cut])
    first = parts.lengths[0].tolist()
    parts.add(rows[cut:])
    whole = counted(folder, rows, 5)
    assert np.array_equal(parts.lengths, whole.lengths)
    assert first == whole.lengths[0][:cut].tolist()
    assert parts.hits() == whole.hits()


def test_more_rows_than_a_batch(folder):
    prompts, _ = counted(folder, (row("oak " * (number % 7), "ash") for number in range(2 * BATCH + 1))).lengths
    assert prompts.tolist() == [number % 7 for number in range(2 * BATCH + 1)]


def test_half_a_surrogate_pair_counts_as_a_character(folder):
    _, responses = counted(folder, [row("name", "oak \ud83d elm")]).lengths
    assert responses.tolist() == [3]


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_is_positive(folder, budget):
    with pytest.raises(InputError, match=f"at least 1, not {budget}"):
        TokenLengths(folder, budget)


def test_what_is_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json: no tokenizer can be read there \(No such file"):
        load_tokenizer(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match=r"tokenizer\.json: no tokenizer can be read there"):
        load_tokenizer(tmp_path)  # a folder without one
    wrong = tmp_path / "other.json"
    wrong.write_text(json.dumps({"model": 1}))
    with pytest.raises(InputError, match=r"other\.json: not a tokenizer\.json"):
        load_tokenizer(wrong)


def test_a_hub_that_cannot_be_reached_gives_one_clear_error():
    script = (
        "from evolute.select.lengths import load_tokenizer; from evolute.errors import InputError\n"
        "try: load_tokenizer('nobody/has-this')\n"
        "except InputError as error: print(error)"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", script], env=offline, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.startswith("no such file here, and the hub gave no tokenizer 'nobody/has-this'")
    assert "give the path of its tokenizer.json" in told.stdout
    assert told.stderr == ""
