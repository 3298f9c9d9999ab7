"""What all tests share: a clean environment, and a real server in a process of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import orjson
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker for each core: libraries that would take all cores for themselves only stand in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """No key and no proxy of the machine's reaches a test."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def seeds_file(tmp_path):
    """Writes so many seeds as JSONL; every third has a response."""

    def write(count, name="seeds.jsonl"):
        path = tmp_path / name
        rows = [
            {"instruction": f"Explain how a class of {n + 2} pupils can share {n + 7} apples fairly."}
            | ({"output": f"Give each pupil a fair part, {n}."} if n % 3 == 0 else {})
            for n in range(count)
        ]
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return path

    return write


@pytest.fixture
def evolute_command():
    """Runs the command line as a user would, in a process."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "evolute", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return run


class Sandboxed:
    """A started sandbox on a loop of its own: `sandbox(lambda box: box.run("..."))` gives what is awaited."""

    def __init__(self):
        import uvloop

        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def await_(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    def __call__(self, use):
        async def used():
            return await use(self.box)

        return self.await_(used())


@pytest.fixture(scope="session")
def sandbox():
    """The real sandbox, shared by all tests of a process."""
    from evolute.sandbox import Sandbox

    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    sandboxed = Sandboxed()
    try:
        sandboxed.box = sandboxed.await_(Sandbox(workers=2, packages=("numpy",)).__aenter__())
        yield sandboxed
        sandboxed.await_(sandboxed.box.__aexit__())
    finally:
        sandboxed.close()


@pytest.fixture
def read_only():
    """Copies runs into a folder that nobody may write, and runs a script on them as somebody who is not root."""

    def run(script, *runs):
        begin = """
import codecs, os, sys
import numpy.ma
import evolute.text.contamination
from evolute import api
from evolute.errors import InputError
codecs.lookup("utf-8-sig")  # what is imported later cannot be, where Python lies in root's own folder
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
"""
        with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody but their owner in
            place = Path(folder)
            place.chmod(0o755)
            copies = [shutil.copytree(one, place / one.name) for one in runs]
            for copy in copies:
                for file in copy.rglob("*"):
                    file.chmod(0o555 if file.is_dir() else 0o444)
                copy.chmod(0o555)
            (place / "out").mkdir()
            (place / "out").chmod(0o777)
            command = [sys.executable, "-c", begin + script, str(place / "out"), *map(str, copies)]
            return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="session")
def byte_tokenizer():
    """A byte-level tokenizer with a chat template, where every letter beyond ASCII is several tokens."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, byte_tokenizer):
    """The folder of a random Llama of two layers, in transformers' layout: it babbles, and never ends by itself."""
    torch = pytest.importorskip("torch")
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(byte_tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.3,
        bos_token_id=byte_tokenizer.bos_token_id, eos_token_id=byte_tokenizer.eos_token_id,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():  # the end token is never likely: its row of logits is nought where others reach far
        model.lm_head.weight[byte_tokenizer.eos_token_id] = 0
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    byte_tokenizer.save_pretrained(folder)
    return folder
