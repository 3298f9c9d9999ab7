"""SmolLM2, exported, in llama.cpp: the same tokens and the same greedy answers as transformers gives. A minute."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from llamacpp import TEXTS, running, transformers_greedy, until  # noqa: E402
from tokenizers import pre_tokenizers  # noqa: E402

from evolute.errors import InputError  # noqa: E402
from evolute.models.weights import find_model, open_files  # noqa: E402
from evolute.train.gguf_file import export_gguf  # noqa: E402

pytestmark = pytest.mark.embedded

QUESTIONS = ["What is the capital of France?", "Write a Python function that adds two numbers.", "Nenne drei Farben."]
COUNT, END = 40, {2}


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """Its GGUF as a folder with safetensors; the digits apart, as its own pre-tokenizer has them."""
    try:
        found = find_model("smollm2")
    except InputError as error:
        pytest.skip(str(error))
    model, tokenizer = open_files(found, dtype="float32", device="cpu")
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    plain = tokenizer.backend_tokenizer.pre_tokenizer
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), plain])
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


def chats(tokenizer) -> list[list[int]]:
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": one}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for one in QUESTIONS
    ]


@pytest.mark.marathon
def test_f16_answers_greedily_as_transformers_does(smollm2, tmp_path):
    folder, model, tokenizer = smollm2
    made = export_gguf(folder, tmp_path / "m.gguf")
    assert made.notes == ()
    halved = model.half().float()  # the numbers that an F16 file holds
    with running(tmp_path / "m.gguf") as oracle:
        for text in [*TEXTS, "12  345\n 67", "<|im_start|>user\n1 2<|im_end|>\n"]:
            assert oracle.ids(text) == tokenizer(text)["input_ids"], text
        for ids in chats(tokenizer):
            wanted = until(transformers_greedy(halved, ids, COUNT), END)
            assert until(oracle.greedy(ids, COUNT), END) == wanted


@pytest.mark.marathon
@pytest.mark.parametrize(("kind", "least"), [("q8_0", 0.9), ("q4_0", 0.6)])
def test_quantised_it_still_answers(smollm2, tmp_path, kind, least):
    """The share of transformers' answers' tokens that llama.cpp would have chosen as well, each after those before."""
    folder, model, tokenizer = smollm2
    export_gguf(folder, tmp_path / "m.gguf", type=kind)
    alike = []
    with running(tmp_path / "m.gguf", exact=False) as oracle:
        for ids in chats(tokenizer):
            wanted = transformers_greedy(model, ids, COUNT)
            for place, token in enumerate(until(wanted, END)):
                alike += [oracle.greedy(ids + wanted[:place], 1, cached=True) == [token]]
    share = sum(alike) / len(alike)
    assert share >= least, f"{kind}: {share:.3f} of {len(alike)}"
