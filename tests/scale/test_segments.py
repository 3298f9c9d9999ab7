import asyncio

from evolute.ledger import Ledger
from evolute.records import Completion, Usage
from evolute.scale.segments import CALLS, calls_after, decode, encode, put_calls


def test_calls_keep_the_share_of_the_price_that_they_cost(tmp_path):
    with Ledger(tmp_path / "one") as one, Ledger(tmp_path / "other") as other:
        for number, share in enumerate((1.0, 0.5)):
            identity = bytes([number]) * 16
            one.add_model("evolver", identity, "m", share)
            completion = Completion("text", usage=Usage(10, 5))
            asyncio.run(one.record(bytes([9, number]) * 8, "evolver", identity, completion, "m"))
        _, rows = calls_after(one.reader, 0, 10)
        again = decode(CALLS, encode(CALLS, rows), "a segment")
        other.transact(lambda db: put_calls(db, again))
        assert sorted((part.calls, part.share) for part in other.reader.totals()) == [(1, 0.5), (1, 1.0)]
