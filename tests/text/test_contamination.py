"""Overlap with benchmarks: hashed grams, runs of words, and benchmarks from files."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.records import Reason
from evolute.text.contamination import Corpora, check_contamination, load_corpora
from evolute.text.corpora import COMMON, FOLDER, KNOWN, PLAIN, SHIPPED, Corpus, hash_items, load, save
from evolute.text.grams import BATCH, WORDS, batches, grams
from evolute.text.words import words

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' own files are not here")

ITEM = (
    "A cooper in Riga sold nineteen barrels on Monday and twice as many on Friday;"
    " how many staves did the apprentice plane if every barrel takes twenty?"
)
CLEAN = "Describe, for a curious neighbour, why bread dough rises faster in a warm kitchen than in a cold one."
texts = st.lists(st.text(alphabet=st.sampled_from("abcdE é_-.\n漢9\ud800İß"), max_size=60), max_size=6)


def corpora(*items):
    return Corpora([Corpus.of("own", [(str(number), text) for number, text in enumerate(items)])])


def runs(text, *items, least=8):
    return [(overlap.item, overlap.words, overlap.score) for overlap in corpora(*items).check(text, least)]


# Grams


def windows(text):
    said = words(text)
    if 5 <= len(said) < WORDS:
        return [said]
    return [said[at : at + WORDS] for at in range(len(said) - WORDS + 1)]


def keys_of(batch, text):
    if text in batch.short:
        return [int(batch.short_keys[batch.short == text][0])]
    last = max(int(batch.first[text + 1]) - WORDS + 1, int(batch.first[text]))
    return batch.keys[int(batch.first[text]) : last].tolist()


@settings(deadline=None)
@given(texts)
def test_a_gram_is_hashed_by_its_words_alone(some):
    """Whatever the text it stands in, the texts beside it, case and layout; and different grams differ."""
    batch = grams(some)
    found = {}
    for number, text in enumerate(some):
        keys = keys_of(batch, number)
        assert keys == keys_of(grams([text.upper().lower() if text.isascii() else text]), 0)
        assert len(keys) == len(windows(text))
        for window, key in zip(windows(text), keys, strict=True):
            assert found.setdefault(window, key) == key
    assert len(set(found.values())) == len(found)


def test_a_text_larger_than_a_batch_is_hashed_like_any_other():
    filler = "lorem ipsum dolor " * (BATCH // 3)
    assert len(filler) > 5 * BATCH
    keys = keys_of(grams([f"{filler}\n{ITEM}"]), 0)
    assert keys[-len(windows(ITEM)) :] == keys_of(grams([ITEM]), 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, BATCH), max_size=12))
def test_batches_are_all_texts_in_order(sizes):
    some = ["x" * size for size in sizes]
    cuts = list(batches(some))
    assert [text for begin, end in cuts for text in some[begin:end]] == some
    assert all(begin < end for begin, end in cuts)


# Runs


def tells(run):
    return any(len(set(run[at : at + WORDS])) >= PLAIN for at in range(len(run) - WORDS + 1))


def plainly(text, item):
    """The plain way, as the module's words have it: extend every pair of equal words."""
    if len(item) < WORDS:
        return [len(item)] if len(item) >= 5 and text == item else []
    best = 0
    for i in range(len(text)):
        for k in range(len(item)):
            length = 0
            while i + length < len(text) and k + length < len(item) and text[i + length] == item[k + length]:
                length += 1
            if length >= WORDS and (tells(text[i : i + length]) or not tells(item)):
                best = max(best, length)
    return [best] if best else []


vocabulary = st.lists(st.sampled_from(["river", "stone", "lamp", "sails", "north", "wind"]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(vocabulary, vocabulary, vocabulary)
def test_a_run_is_the_longest_that_text_and_item_share(before, item, after):
    text = [*before, *item, *after]
    other = [*reversed(item), "harbour"]
    for one in (item, other):
        assert [found[1] for found in runs(" ".join(text), " ".join(one))] == plainly(text, one)


@pytest.mark.parametrize(
    "text",
    [
        ITEM,
        ITEM.upper(),
        ITEM.replace(" ", "\n\t ").replace(";", " -- "),
        f"{CLEAN}\n\n### Question: {ITEM}\nThink step by step.",
    ],
)
def test_an_item_is_found_whatever_its_case_layout_and_surroundings(text):
    [overlap] = corpora("Which wood do coopers of the north bend best?", ITEM).check(text)
    assert (overlap.corpus, overlap.item, overlap.words, overlap.share) == ("own", "1", 27, 1.0)
    assert overlap.item_text == ITEM
    assert overlap.text in text
    assert words(overlap.text) == words(ITEM)


def test_a_changed_word_parts_a_run():
    changed = ITEM.replace("Friday", "Sunday")
    assert runs(changed, ITEM, least=8) == [("0", 14, 14)]
    assert runs(ITEM.replace("sold", "made").replace("Friday", "Sunday").replace("plane", "cut"), ITEM) == [("0", 9, 9)]


def test_a_shorter_item_counts_where_it_is_found_whole():
    item = "Which wood do coopers of the north bend best?"
    assert runs(f"Tell me: {item} And why?", item, least=13) == [("0", 9, 13)]
    assert runs("Which wood do coopers of the north bend most?", item, least=13) == []
    assert runs("Which wood do coopers of the north bend most?", item, least=8) == [("0", 8, 8)]
    assert runs(item, item, least=14) == []


def test_an_item_of_five_to_seven_words_counts_only_as_the_whole_text():
    item = "Which wood do coopers bend?"
    assert runs("which wood do COOPERS bend", item, least=13) == [("0", 5, 13)]
    assert runs(f"{item} And why?", item) == []
    assert runs("Who bends wood?", "Who bends wood?") == []
    assert corpora(item, "Who bends wood?").checked[0].checkable == 1


def test_a_turn_of_phrase_is_no_overlap_but_does_not_cut_one():
    phrase = "which of the following is the best description of"
    items = [f"{phrase} {thing} in the trade of a northern cooper" for thing in "abcdefghijk"]
    assert len(items) > COMMON
    assert runs(f"Say {phrase} yourself", *items) == []
    assert runs(f"{phrase} c in the trade of a northern cooper", *items)[0] == ("2", 17, 17)
    assert runs(f"Say {phrase} yourself", *items[:COMMON]) != []


@pytest.mark.parametrize(
    "text", ["1 2 3 4 5 6 7 8 9 10 11 12 13 14", "for i in range(n): for j in range(i, n): a[i][j] = b[j]"]
)
def test_numbers_and_symbols_are_no_overlap(text):
    assert runs(f"Given {text}", f"The following was written on the northern wall: {text}") == []


def test_an_item_of_nothing_but_symbols_is_still_found():
    item = "If x + y = z and x * y = z, then what is x - y?"
    assert runs(f"{item} Think.", item) == [("0", 13, 13)]


def test_items_of_the_same_words_are_one():
    [corpus] = corpora(ITEM, ITEM.lower(), CLEAN).checked
    assert (corpus.items, list(corpus.hashed().ids)) == (2, ["0", "2"])


def test_a_text_may_have_many_overlaps_the_longest_first():
    found = corpora(CLEAN, ITEM).check(f"{CLEAN} {ITEM}")
    assert [overlap.item for overlap in found] == ["1", "0"]


def test_a_passage_is_shown_also_where_folding_the_case_moves_the_words():
    [overlap] = corpora(ITEM).check(f"İİ {ITEM}")
    assert words(overlap.text) == words(ITEM)


@settings(deadline=None)
@given(texts)
def test_checking_many_is_checking_each(some):
    own = corpora("a b c d e a b c", "漢 漢 漢 漢 漢 漢 漢 漢", "abc abd cde dea abc")
    each = [(number, overlap) for number, text in enumerate(some) for overlap in own.check(text, 8)]
    assert list(own.check_many(some, 8)) == each


def test_nothing_to_check_against_or_in():
    assert Corpora([]).check(ITEM) == []
    assert corpora("", "one two").check(ITEM) == []
    assert corpora(ITEM).check("") == []
    with pytest.raises(ValueError, match="from 8 words up"):
        corpora(ITEM).check(ITEM, 7)


def test_the_rule_names_corpus_item_and_both_texts():
    own = corpora(CLEAN, ITEM)
    assert check_contamination("Explain how a barrel is made.", own) is None
    finding = check_contamination(f"Solve it: {ITEM}", own, 13)
    assert finding.reason is Reason.CONTAMINATED
    assert finding.evidence["item"] == "1"
    assert (finding.evidence["words"], finding.evidence["limit"], finding.evidence["share"]) == (27, 13, 1.0)
    assert finding.evidence["item_text"] == ITEM
    assert orjson.dumps(dict(finding.evidence))  # a verdict's evidence goes into the ledger


# What ships


def test_what_ships_is_small_and_loads():
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.npz")}
    assert set(SHIPPED) <= sizes.keys()
    assert sum(sizes[name] for name in SHIPPED) <= 8_000_000
    assert sum(sizes.values()) <= 10_000_000
    shipped = load_corpora()
    assert [corpus.name for corpus in shipped.checked] == list(SHIPPED)
    assert shipped.not_checked == ["ARC-Challenge", "AlpacaEval", "WizardLM test set"]
    for corpus in shipped.checked:
        hashed = corpus.hashed()
        assert len(hashed.ids) == len(hashed.counts) == corpus.items
        assert hashed.spans.sum() == len(hashed.keys)
        assert hashed.checkable == corpus.checkable > 0.95 * corpus.items
        assert hashed.texts is None
        assert corpus.license
        assert corpus.digest
        assert corpus.source.startswith("https://")
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"| {corpus.items:,} |" in readme and corpus.license in readme for corpus in shipped.checked)


def test_the_same_items_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save(hash_items([("7", ITEM), ("8", CLEAN), ("9", "too short")]), tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    back, made = load(tmp_path / "one.npz"), hash_items([("7", ITEM), ("8", CLEAN), ("9", "too short")])
    assert (back.ids, back.digest) == (["7", "8", "9"], made.digest)
    assert np.array_equal(back.keys, made.keys)
    assert np.array_equal(back.telling, made.telling)


def rows_of(path):
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.decode().split("\n") if line]


@needs_data
@pytest.mark.parametrize(
    ("name", "path", "column", "ident"),
    [
        ("humaneval", "humaneval/HumanEval.jsonl.gz", "prompt", "task_id"),
        ("gsm8k", "gsm8k/test.jsonl", "question", None),
        ("hellaswag", "hellaswag/hellaswag_val.jsonl", "ctx", None),
    ],
)
def test_planted_items_of_what_ships_are_found(name, path, column, ident):
    shipped = load_corpora([name])
    rows = list(enumerate(rows_of(DATA / path)))[:: 7 if name != "hellaswag" else 97]
    for number, row in rows:
        found = shipped.check(f"Consider this.\n\n{row[column].upper()}\n\nExplain your answer.")
        assert found, row
        ids = {row[ident]} if ident else {f"test/{number}", f"validation/{number}"}
        assert found[0].item in ids or found[0].share == 1, row


@needs_data
def test_clean_rows_stay_clean():
    """The seeds of Self-Instruct were written by people in 2022, for no benchmark among these."""
    rows = rows_of(DATA / "seeds/self_instruct_seed_tasks.jsonl")
    said = [row["instruction"] for row in rows] + [row["instances"][0]["output"] for row in rows]
    assert list(load_corpora().check_many(said, 8)) == []


@needs_data
def test_the_sets_that_do_not_ship_are_recognised():
    paths = ("arc_challenge/test.jsonl", "alpaca_eval/instructions.jsonl", "wizardlm/WizardLM_testset.jsonl")
    own = load_corpora([str(DATA / path) for path in paths])
    assert [(corpus.name, corpus.license) for corpus in own.checked] == [
        ("arc", "CC BY-SA 4.0"),
        ("alpacaeval", "CC BY-NC 4.0"),
        ("wizardlm-test", "CC BY-NC 4.0"),
    ]
    assert len(own.not_checked) == len(SHIPPED)


# The user's files


def written(path, rows):
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".txt":
        path.write_text("\n".join(row["question"] for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(rows), path)
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv", ".txt", ".parquet"])
def test_files_of_every_kind(tmp_path, suffix):
    path = written(tmp_path / f"mine{suffix}", [{"id": "a", "question": CLEAN}, {"id": "b", "question": ITEM}])
    own = load_corpora([path])
    [corpus] = own.checked
    assert (corpus.name, corpus.items, corpus.source) == ("mine", 2, f"mine{suffix}")
    assert [overlap.item for overlap in own.check(ITEM)] == ["line 2" if suffix == ".txt" else "b"]
    assert own.not_checked == [known.title for known in KNOWN.values()]


def test_shapes_of_rows(tmp_path):
    turns = written(tmp_path / "turns.jsonl", [{"question_id": 81, "turns": [CLEAN, ITEM]}])
    assert [one.item for one in load_corpora([turns]).check(ITEM)] == ["81 turn 2"]
    odd = written(tmp_path / "odd.jsonl", [{"Aufgabe": ITEM, "text": CLEAN}])
    assert [one.item for one in load_corpora([f"{odd}::Aufgabe"]).check(ITEM)] == ["line 1"]
    wrapped = tmp_path / "wrapped.json"
    wrapped.write_text(json.dumps({"version": 1, "data": [{"Question": ITEM}]}), encoding="utf-8")
    assert load_corpora([str(wrapped)]).checked[0].items == 1
    single = written(tmp_path / "single.jsonl", [{"question": ITEM, "choices": [{"text": CLEAN}]}])
    assert [one.words for one in load_corpora([single]).check(ITEM)] == [27]
    named = load_corpora([f"house-test={odd}::Aufgabe"])
    assert [(corpus.name, corpus.title) for corpus in named.checked] == [("house-test", "house-test")]
    as_arc = load_corpora([f"arc={odd}::Aufgabe"])
    assert "ARC-Challenge" not in as_arc.not_checked


def test_a_dataset_column_alone_makes_no_alpaca_eval(tmp_path):
    mixed = written(tmp_path / "mixed.jsonl", [{"instruction": ITEM, "dataset": "house"}])
    assert load_corpora([mixed]).checked[0].name == "mixed"
    known = written(tmp_path / "known.jsonl", [{"instruction": ITEM, "dataset": "koala"}])
    assert load_corpora([known]).checked[0].title == "AlpacaEval"


@pytest.mark.parametrize(
    ("name", "content", "source", "said"),
    [
        ("a.jsonl", b'{"alpha": "x", "beta": 1}\n', "{}", r"'alpha', 'beta'.*PATH::COLUMN"),
        ("a.jsonl", b'{"alpha": "x", "beta": 1}\n', "{}::gamma", r"no column 'gamma'.*'alpha', 'beta'"),
        ("a.jsonl", b'{"alpha": "x", "beta": 1}\n', "{}::beta", r"row 1: the column 'beta' holds no text but '1'"),
        ("a.jsonl", b'{"question": "x"}\n{"question": null}\n', "{}", r"row 2: the column 'question' holds no text"),
        ("a.jsonl", b'{"question": "x"}\n[1]\n', "{}", r"row 2: a row is an object or a text, not '\[1\]'"),
        ("a.jsonl", b'{"question": "x"}\n{"question":\n', "{}", r"line 2: not JSON"),
        ("a.jsonl", b"", "{}", r"no rows"),
        ("a.txt", b"\xff\xfe\x00", "{}", r"not UTF-8 text, at byte 0"),
        ("a.jsonl.gz", b"no gzip", "{}", r"cannot be read"),
        ("a.csv", b'question\n"x\n', "{}", r"not a table"),
        ("a.parquet", b"no parquet", "{}", r"not a Parquet file"),
        ("a.docx", b"x", "{}", r"unknown kind of file '.docx'"),
        ("a.txt", b"x", "{}.missing", r"a.txt.missing: no such file. Did you mean .a.txt"),
        ("a.txt", b"x", "nope.jsonl", r"^nope.jsonl: no such file$"),
        ("a.txt", b"x", "nope/a", r"no such file$"),
        ("a.txt", b"x", "humanevl", r"neither a file nor a benchmark.*did you mean 'humaneval'.*humaneval, mbpp"),
        ("a.txt", b"Bend wood\nPlane a stave\n", "{}", r"a.txt: none of its items.*fewer than 5 words.*'Bend wood'"),
        ("a.jsonl", b'{"id": "77", "question": "B"}', "mine={}", r"none of its items.*'B'.*PATH::COLUMN"),
        ("a.txt", b"x", "arc", r"does not come with Evolute \(its license is CC BY-SA 4.0\).*arc=PATH.*hf:allenai"),
        ("a.txt", b"x", "wizardlm-test", r"wizardlm-test=PATH"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_with_the_remedy(tmp_path, monkeypatch, name, content, source, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){said}"):
        load_corpora([source.format(name)])


def test_titles_are_names_too_whatever_their_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = load_corpora(["HumanEval", "MT-Bench", "gsm8K"]).checked
    assert [corpus.name for corpus in checked] == ["humaneval", "mt-bench", "gsm8k"]
    with pytest.raises(InputError, match=r"ARC-Challenge does not come with Evolute.*arc=PATH"):
        load_corpora(["ARC-Challenge"])
    known = written(tmp_path / "known.jsonl", [{"instruction": ITEM, "dataset": "koala"}])
    assert load_corpora([f"AlpacaEval={known}"]).checked[0].license == "CC BY-NC 4.0"


def test_the_hub_is_asked_only_by_its_name():
    """In a process of its own: the hub's client reads once whether it is offline."""
    pytest.importorskip("datasets")
    script = """
from evolute.errors import InputError
from evolute.text.contamination import load_corpora
try:
    load_corpora(["hf:nobody/none@test"])
except InputError as error:
    print(error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert "hub gave no 'hf:nobody/none@test'" in done.stdout
