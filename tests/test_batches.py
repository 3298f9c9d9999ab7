"""Streams in batches."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from evolute.batches import batched


@given(st.lists(st.integers()), st.integers(1, 9))
def test_batches_are_the_stream_again_and_only_the_last_is_shorter(items, size):
    batches = list(batched(iter(items), size))
    assert list(chain.from_iterable(batches)) == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches[-1:])
