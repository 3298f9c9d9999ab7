"""What the tasks of a whole-dataset step do, without Ray: whatever the blocks and tasks, the pairs of one machine."""

from __future__ import annotations

import pickle
import random
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.batches import batched
from evolute.encoders.static import shipped
from evolute.errors import InputError
from evolute.records import Message, Row
from evolute.scale.meaning import Kept, join_vectors, keep_vectors
from evolute.scale.near import join_sets, keep_sets
from evolute.scale.scratch import Scratch
from evolute.scale.starting import check_address
from evolute.select.banding import PIVOTS
from evolute.select.duplicates import NearDuplicates
from evolute.select.semantic import MOST, SemanticDuplicates, pairs_of

WORDS = ["write", "a", "poem", "on", "the", "old", "river", "and", "its", "boats", "for", "children", "who", "like"]
ODD = ["", " ", "?!", "%%", "ﬁ", "水", "水の話", "\x00", "a", "😀 😀", "C", "C#", "C++"]


def anyhow(draw):
    """Does pieces of work in any order, each in what a worker would make of its pickled form."""

    def each(work, count, /):
        for number in draw.sample(range(count), count):
            yield number, pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))(number)))

    return each


def texts_of(draw, count):
    """Texts of which many are near another, many the same template, some equal and some odd."""
    made = []
    for _ in range(count):
        turn = draw.random()
        if turn < 0.3 and made:
            words = draw.choice(made).split(" ")
            words[draw.randrange(len(words))] = draw.choice(WORDS)
            made.append(" ".join(words))
        elif turn < 0.5:
            made.append(
                f"Explain to a class of small children what the number {draw.randrange(99)} has to do with luck"
            )
        elif turn < 0.6 and made:
            made.append(draw.choice(made).upper())
        elif turn < 0.65:
            made.append(draw.choice(ODD))
        else:
            made.append(" ".join(draw.choices(WORDS, k=draw.randrange(4, 24))))
    return made


def same(one, other):
    assert (one.reason, one.count, one.floor) == (other.reason, other.count, other.floor)
    for name in ("earlier", "later", "score"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


@given(
    st.integers(0, 2**32), st.integers(1, 300), st.integers(25, 120), st.integers(60, 300), st.integers(40, 300),
    st.sampled_from([0.5, 0.7, 0.9]),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_near_duplicates_are_those_of_one_machine(seed, count, size, keys, group, floor):
    draw = random.Random(seed)
    texts = texts_of(draw, count)
    alone = NearDuplicates(floor)
    alone.add(texts)
    with tempfile.TemporaryDirectory() as folder, Scratch(f"{folder}/s", size).opened() as scratch:
        sums = []
        for number, some in enumerate(batched(texts, size)):
            own = NearDuplicates(floor)
            own.add(some)
            sums.append(keep_sets(scratch, number, own))
        found = join_sets(scratch, np.concatenate(sums), floor, each=anyhow(draw), keys=keys, group=group)
    same(found, alone.pairs())
    assert found.first.tobytes() == alone.pairs().first.tobytes()


def test_the_texts_fill_a_bucket_beyond_the_pivots():
    texts = texts_of(random.Random(1), 300)
    found = NearDuplicates(0.5)
    found.add(texts)
    keys = found.bands.keys
    assert max(np.unique(keys[:, band], return_counts=True)[1].max() for band in range(keys.shape[1])) > PIVOTS
    assert len(found.pairs().later) > 300


@given(
    st.integers(0, 2**32),
    st.integers(1, 400),
    st.integers(40, 150),
    st.integers(200, 2000),
    st.sampled_from([0, 10_000]),
)
@settings(max_examples=20, deadline=None)
def test_semantic_duplicates_are_those_of_one_machine(seed, count, size, members, exact):
    draw = random.Random(seed)
    texts = texts_of(draw, count) + ["Why is the sky blue?"] * draw.choice([0, MOST + 9])
    draw.shuffle(texts)
    encoder = shipped()
    alone = pairs_of(encoder.encode(texts), 0.8, exact=exact)
    with tempfile.TemporaryDirectory() as folder, Scratch(f"{folder}/s", size).opened() as scratch:
        parts = []
        for number, some in enumerate(batched(texts, size)):
            own = SemanticDuplicates(encoder, 0.8)
            own.add(some)
            parts.append(keep_vectors(scratch, number, own))
        same(join_vectors(scratch, parts, 0.8, each=anyhow(draw), exact=exact, members=members), alone)


def test_a_block_of_which_an_endpoint_could_not_say_how_wide_it_is_has_zeros(tmp_path):
    with Scratch(str(tmp_path / "s"), 2).opened() as scratch:
        scratch.save("meaning-0", np.zeros((2, 0), dtype=np.float32))
        scratch.save("meaning-1", np.ones((2, 3), dtype=np.float32))
        assert Kept(scratch, 4, 3)[np.array([1, 2])].tolist() == [[0, 0, 0], [1, 1, 1]]


texts = st.text(st.characters(exclude_categories=["Cs"]))
rows = st.builds(
    Row, id=texts, parent=texts, root=texts, round=st.integers(0, 9), operation=texts, instruction=texts, input=texts,
    response=st.none() | texts, system=texts,
    history=st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), max_size=3).map(tuple),
    evolver=texts, judge=texts, responder=texts, source=texts, line=st.integers(0, 2**40), reasoning=st.none() | texts,
    verified=st.none() | st.booleans(), tests=texts,
)  # fmt: skip


@given(st.lists(rows, max_size=8), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_rows_come_from_their_blocks_as_they_went_in(given_rows, size):
    with tempfile.TemporaryDirectory() as folder, Scratch(f"{folder}/s", size).opened() as scratch:
        blocks = list(scratch.write_rows(given_rows))
        assert [row for block in blocks for row in block] == given_rows
        assert [scratch.rows(number) for number in range(len(blocks))] == blocks


def test_a_row_of_an_array_is_read_from_a_store_that_is_no_disk():
    with Scratch("memory://evolute-test").opened() as scratch:
        array = np.arange(12, dtype=np.uint32).reshape(3, 4)
        scratch.save("some", array.T)
        assert scratch.load("some").tolist() == array.T.tolist()
        assert scratch.load("some", 2).tolist() == [2, 6, 10]
        with pytest.raises(InputError, match="give --scratch a folder"):
            scratch.load("other")
        with pytest.raises(InputError, match="give --scratch a folder"):
            scratch.rows(3)


def test_a_folder_is_emptied_before_and_gone_afterwards(tmp_path):
    scratch = Scratch(str(tmp_path / "within" / "s"))
    (tmp_path / "within" / "s").mkdir(parents=True)
    (tmp_path / "within" / "s" / "rows-7.parquet").write_text("from a run that was killed")
    with scratch.opened():
        assert not (tmp_path / "within" / "s" / "rows-7.parquet").exists()
        scratch.save("some", np.arange(3))
    assert list(tmp_path.rglob("*")) == [tmp_path / "within"]


@pytest.mark.parametrize("url", ["nosuch://x", "/proc/nowhere/at/all", "http://127.0.0.1:1/x"])
def test_a_folder_that_cannot_be_is_refused(url):
    with pytest.raises(InputError, match="--scratch"), Scratch(url).opened():
        pass


@pytest.mark.parametrize("on", ["", "slurm", "ray://", "raytheon", "ray:10.0.0.1:6379"])
def test_what_is_no_address_of_ray_is_refused(on):
    with pytest.raises(InputError, match=r"--on is 'ray', 'ray://auto' or 'ray://HOST:PORT'"):
        check_address(on)
