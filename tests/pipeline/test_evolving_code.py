"""Programming tasks from end to end, on the scripted model: from one's own code, by the recipe `wizardcoder`."""

from evolute import api
from evolute.ledger import Reader
from evolute.pipeline.checking import replay, verify
from evolute.text.code import fenced_blocks

CODE = '''def mean{0}(values):
    """The mean of {0} values or more."""
    total = sum(values)
    return total / len(values)


'''


def test_from_source_to_a_dataset(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "means.py").write_text("".join(CODE.format(number) for number in range(12)))
    run = tmp_path / "run"
    summary = api.evolve(
        f"code:{tmp_path / 'src'}", out=run, recipe="wizardcoder", settings={"models.default.api": "scripted"}
    )
    assert summary.kept == 36, summary.dropped
    with Reader(run) as reader:
        assert {row.operation.partition("-")[0] for row in reader.candidates() if row.round} == {"code"}
        for row in reader.dataset():
            (block,) = fenced_blocks(row.instruction)
            assert block.closed
            assert (row.source.endswith("means.py"), row.line % 6) == (True, 1)
    assert replay(run).ok
    assert verify(run).ok
