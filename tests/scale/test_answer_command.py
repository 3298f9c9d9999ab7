from evolute import api
from evolute.ledger import Ledger
from evolute.ledger.batches import Asked, BatchBook
from evolute.scale.vllm import waiting


def test_what_waits_is_submitted_and_has_no_answers_yet(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_model("evolver", b"m", "m")
        book = BatchBook(ledger, b"asker", "files")
        for number in range(3):
            book.intend(f"b{number}", [Asked(bytes([number]) * 16, "evolver", b"m")])
        for batch in book.open()[:2]:
            book.confirm(batch, batch.name)
    folder = tmp_path / "batches"
    folder.mkdir()
    for name in ("b0.jsonl", "b1.jsonl", "b1.answers.jsonl", "b2.jsonl"):
        (folder / name).touch()
    assert waiting(tmp_path) == [(folder / "b0.jsonl", folder / "b0.answers.jsonl")]


def test_the_command_says_what_is_missing(tmp_path, evolute_command, seeds_file):
    api.evolve(str(seeds_file(1)), out=tmp_path / "run", settings={"models.default.api": "scripted"})
    no_run = evolute_command("answer", tmp_path / "none", "--model", tmp_path)
    assert no_run.returncode == 2
    assert "is not a run" in no_run.stderr
    no_model = evolute_command("answer", tmp_path / "run", "--model", tmp_path)
    assert no_model.returncode == 2
    assert "is no folder of a model (config.json is missing)" in no_model.stderr
    (tmp_path / "config.json").write_text("{}")
    no_engine = evolute_command("answer", tmp_path / "run", "--model", tmp_path)
    assert no_engine.returncode == 2
    assert "vLLM is not installed here" in no_engine.stderr
