"""Contamination as a step of selecting: which rows, on which side, with both texts."""

from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.encoders.static import shipped
from evolute.errors import EvoluteError
from evolute.records import Message, Reason, Row
from evolute.select.contamination import ROWS, Contamination, Meanings, contamination, semantic_contamination
from evolute.text.contamination import Corpora, load_corpora
from evolute.text.corpora import Corpus

QUESTION = (
    "A ferry leaves the harbour of Visby every ninety minutes; how often does it sail between dawn and noon in June?"
)
SIMILAR = "A ferry leaves the harbour of Visby every ninety minutes; what does a ticket for three children cost?"
OTHER = "Name the tools that a lighthouse keeper needs to polish a lens of the first order without scratching it."
PLAIN = Row(
    id="i1-0", parent="s1-0", root="s1-0", round=1, operation="deepen", instruction="Explain tides to a child.",
    input="", response="The moon pulls the sea.", system="", history=(), evolver="m", judge="m", responder="m",
    source="a", line=1,
)  # fmt: skip


def corpora():
    ferries = Corpus.of("ferries", [("f1", QUESTION), ("f2", SIMILAR)])
    return Corpora([ferries, Corpus.of("lights", [("l1", OTHER)])])


def test_both_sides_are_looked_at_and_named():
    rows = [
        PLAIN,
        replace(PLAIN, instruction=f"Solve this. {QUESTION}"),
        replace(PLAIN, response=f"First: {OTHER}"),
        replace(PLAIN, instruction="Answer the question.", input=OTHER, response=QUESTION.upper()),
        replace(PLAIN, response=None),
    ]
    hits = contamination(rows, corpora())
    assert hits.count == 5
    found = [(hit.row, hit.evidence["side"], hit.evidence["corpus"], hit.evidence["item"]) for hit in hits.hits]
    assert found == [
        (1, "instruction", "ferries", "f1"),
        (2, "response", "lights", "l1"),
        (3, "instruction", "lights", "l1"),
        (3, "response", "ferries", "f1"),
    ]
    assert {hit.reason for hit in hits.hits} == {Reason.CONTAMINATED}
    evidence = hits.hits[0].evidence
    assert (evidence["text"], evidence["item_text"]) == (QUESTION.rstrip("?"), QUESTION)
    assert (evidence["words"], evidence["share"], evidence["items"]) == (21, 1.0, 2)
    assert orjson.dumps([dict(hit.evidence) for hit in hits.hits])


def test_one_measure_serves_every_threshold():
    nine = " ".join(QUESTION.split()[:9]) + ", said the captain."
    hits = contamination([replace(PLAIN, instruction=nine), replace(PLAIN, instruction=QUESTION), PLAIN], corpora())
    assert [hits.select(threshold).kept for threshold in (8, 10, 22)] == [[2], [0, 2], [0, 1, 2]]
    assert contamination([replace(PLAIN, instruction=nine)], corpora(), floor=13).hits == []


def test_what_stood_before_is_published_too_and_is_a_side_of_its_own():
    short = Corpus.of("short", [("s1", "Who lights the harbour lamp?")])
    both = Corpora([*corpora().checked, short])
    turns = (Message("user", f"First: {SIMILAR}"), Message("assistant", OTHER), Message("user", QUESTION))
    rows = [
        PLAIN,
        replace(PLAIN, history=turns),
        replace(PLAIN, system=f"You know that one may ask: {OTHER}"),
        replace(PLAIN, history=(Message("user", "Who lights the harbour lamp?"), Message("assistant", "Nobody."))),
        replace(PLAIN, history=(Message("user", "Which tides are high?"), Message("assistant", "Some."))),
    ]
    found = [
        (hit.row, hit.evidence["side"], hit.evidence["item"], hit.evidence["words"], hit.evidence["items"])
        for hit in contamination(rows, both).hits
    ]
    assert found == [
        (1, "context", "f1", 21, 2),
        (1, "context", "l1", 19, 1),
        (2, "context", "l1", 19, 1),
        (3, "context", "s1", 5, 1),
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([QUESTION, SIMILAR, OTHER, "Explain tides."]), max_size=8), st.integers(1, 4))
def test_what_is_found_on_a_row_depends_on_that_row_alone(texts, size):
    rows = [replace(PLAIN, instruction=text) for text in texts]
    found = Contamination(corpora())
    for begin in range(0, len(rows), size):
        found.add(rows[begin : begin + size])
    assert found.hits() == contamination(rows, corpora())
    for number, row in enumerate(rows):
        alone = contamination([row], corpora()).hits
        assert [replace(hit, row=number) for hit in alone] == [hit for hit in found.hits().hits if hit.row == number]


def test_rows_stream_in():
    rows = (
        replace(PLAIN, instruction=QUESTION if number % ROWS == 7 else "Explain.") for number in range(2 * ROWS + 9)
    )
    hits = contamination(rows, corpora())
    assert hits.count == 2 * ROWS + 9
    assert [hit.row for hit in hits.hits] == [7, ROWS + 7, 2 * ROWS + 7]


def test_a_floor_that_the_index_does_not_know():
    with pytest.raises(ValueError, match="from 8 words up"):
        contamination([PLAIN], corpora(), floor=5)


# In other words


class Named:
    """An encoder of two numbers: how often the letters a and e come."""

    def __init__(self, name="letters"):
        self.name = self.identity = name

    def encode(self, texts):
        counts = np.array([[text.count("a"), text.count("e")] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)


def test_an_item_in_other_words_is_found_with_both_texts():
    meanings = Meanings.of(corpora(), shipped())
    said = [
        "Explain tides to a child.",
        "Which tools does the keeper of a lighthouse need to polish a first-order lens without scratches?",
        "",
    ]
    hits = semantic_contamination(said, meanings)
    [hit] = hits.hits
    assert (hits.count, hit.row, hit.reason) == (3, 1, Reason.CONTAMINATED)
    assert 0.85 <= hit.score <= 1
    assert (hit.evidence["corpus"], hit.evidence["item"]) == ("lights", "l1")
    assert (hit.evidence["text"], hit.evidence["item_text"]) == (said[1], OTHER)
    assert hit.evidence["encoder"] == shipped().name
    assert meanings.compared == ["ferries", "lights"]
    assert contamination([replace(PLAIN, instruction=said[1])], corpora()).hits == []


def test_vectors_that_are_known_are_not_made_again():
    meanings = Meanings.of(corpora(), shipped())
    said = [OTHER, "Explain tides to a child."]
    again = semantic_contamination(said, meanings, vectors=shipped().encode(said))
    assert again == semantic_contamination(said, meanings)
    assert len(again.hits) == 1
    with pytest.raises(EvoluteError, match=r"have 2 numbers and the benchmarks' 96: encode both with 'evolute"):
        semantic_contamination(said, meanings, vectors=Named().encode(said))


def test_what_ships_is_compared_by_the_encoder_that_made_its_vectors():
    both = load_corpora(["humaneval", Corpus.of("ferries", [("f1", QUESTION)]), "gsm8k"])
    meanings = Meanings.of(both, shipped())
    assert meanings.compared == ["HumanEval", "ferries", "GSM8K"]
    assert len(meanings.items) == len(meanings.vectors) == 163 + 1 + 1319
    assert "MMLU" in meanings.not_compared
    other = Meanings.of(both, Named())
    assert other.compared == ["ferries"]
    assert other.not_compared[:2] == ["HumanEval", "GSM8K"]
    [hit] = semantic_contamination([QUESTION.upper()], meanings).hits
    assert hit.evidence["item"] == "f1"


def test_an_encoder_that_changed_under_its_name_is_refused():
    with pytest.raises(EvoluteError, match="not the one of that name that made the benchmarks' vectors"):
        Meanings.of(load_corpora(["humaneval"]), Named(shipped().name))


def test_nothing_to_compare():
    nothing = Meanings.of(load_corpora([]), shipped())
    assert semantic_contamination([QUESTION], nothing).hits == []
    assert semantic_contamination([], Meanings.of(corpora(), shipped())).count == 0
