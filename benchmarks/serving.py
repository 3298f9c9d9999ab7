"""Tokens a second of both engines for 1 and 16 requests, beside transformers' `generate` on the same batch.

python benchmarks/serving.py MODEL [MODEL.gguf]: a folder as transformers writes it, and the same model for llama.cpp.
"""

import asyncio
import sys
import time

import torch

from evolute.models.local import Local
from evolute.models.opening import open_endpoint
from evolute.models.weights import find_model, open_files
from evolute.recipe import ModelSpec
from evolute.records import Message, Request

TOKENS = 32
ASKED = [f"Explain in a few sentences why bread rises. Variation {n}." for n in range(16)]


def bare(folder):
    """`generate` on the batch, padded on the left: tokens a second."""
    model, tokenizer = open_files(find_model(folder))
    rows = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        for text in ASKED
    ]
    speeds = {}
    for count in (1, 16):
        width = max(map(len, rows[:count]))
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows[:count]], device=model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows[:count]], device=model.device)
        started = time.perf_counter()
        model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0
        )
        speeds[count] = count * TOKENS / (time.perf_counter() - started)
    return speeds


async def engine(spec):
    """Of an engine in this process: tokens a second."""
    speeds = {}
    async with open_endpoint(spec) as model:
        if isinstance(model, Local):
            model._endings = frozenset()  # as many tokens as `generate` was told to make
        for count in (1, 16):
            requests = [
                Request("speed", (Message("user", text),), b"", 0, {"temperature": 0, "max_tokens": TOKENS})
                for text in ASKED[:count]
            ]
            started = time.perf_counter()
            done = await asyncio.gather(*map(model.complete, requests))
            speeds[count] = sum(one.usage.completion for one in done) / (time.perf_counter() - started)
    return speeds


def show(name, speeds, base):
    told = ", ".join(f"{count}: {speed:.1f} ({speed / base[count]:.2f}x)" for count, speed in speeds.items())
    print(f"{name:24}{told} tokens/s", flush=True)


def main():
    base = bare(sys.argv[1])
    show("transformers' generate", base, base)
    show("local", asyncio.run(engine(ModelSpec(api="local", model=sys.argv[1]))), base)
    if len(sys.argv) > 2:
        show("embedded", asyncio.run(engine(ModelSpec(api="local", model=sys.argv[2]))), base)


main()
