"""llama.cpp's own server on a GGUF file, as an oracle: what it makes of a text, and how it goes on."""

from __future__ import annotations

import json
import secrets
import urllib.request
from contextlib import contextmanager


class Oracle:
    def __init__(self, address: str, key: str):
        self._address, self._key = address, key

    def ask(self, path: str, **body):
        request = urllib.request.Request(
            self._address + path,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", "Connection": "close"},
        )
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)

    def ids(self, text: str) -> list[int]:
        return self.ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def greedy(self, ids: list[int], count: int, *, cached: bool = False) -> list[int]:
        reply = self.ask(
            "/completion", prompt=ids, n_predict=count, temperature=0, return_tokens=True, cache_prompt=cached
        )
        return reply["tokens"]


@contextmanager
def running(path, context: int = 512, exact: bool = True):
    """`exact`: keys and values are kept in float32, as transformers keeps them; llama.cpp's default is float16."""
    import xllamacpp

    key = secrets.token_hex(8)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.offline, params.ui, params.verbosity = True, False, -1
    params.n_parallel, params.n_ctx, params.n_gpu_layers = 1, context, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    if exact:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)
    try:
        yield Oracle(server.listening_address, key)
    finally:
        del server


def until(ids: list[int], ends: set[int]) -> list[int]:
    """What comes before the first token that ends an answer."""
    return ids[: next((place for place, one in enumerate(ids) if one in ends), None)]


def transformers_greedy(model, ids: list[int], count: int) -> list[int]:
    import torch

    made = model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=count,
        do_sample=False, pad_token_id=0,
    )  # fmt: skip
    return made[0, len(ids) :].tolist()


def first_difference(first: list[int], second: list[int]) -> int | None:
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), None)


TEXTS = [
    "Hello, world! It's 1234567 o'clock, isn't it?",
    "Größe, café, naïve — “quoted” …",
    "Что такое 42? Ответьте кратко.",
    "你好，世界！今天是2024年。",
    "नमस्ते दुनिया 123 और مرحبا بالعالم",
    "日本語のテスト😀👩‍👩‍👧 café\u0301",
    "  two  spaces\n\n\ttabs\r\n   and trailing   ",
    "def f(x):\n    return x**2 + 3.14e-10\n",
    "I'LL WE'VE don'T 'S",
    "a",
    "",
]
