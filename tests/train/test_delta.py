"""Delta weights: base + delta is the tuned model, bit for bit, or it is said why not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from evolute.cli import main  # noqa: E402
from evolute.errors import InputError  # noqa: E402
from evolute.train.delta import _bits, _difference, _flat, apply_delta, make_delta, verify_delta  # noqa: E402
from evolute.train.deltafile import described  # noqa: E402

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def write_model(folder: Path, shards: list[dict], **config) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **config}))
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    where = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(shard, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def tensors_of(folder: Path) -> dict:
    return {name: one for path in sorted(folder.glob("model*.safetensors")) for name, one in load_file(path).items()}


def same_bits(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        described(name, first[name]) == described(name, second[name]) for name in first
    )


def base_tensors(dtype=torch.bfloat16) -> dict:
    draw = torch.Generator().manual_seed(3)
    shapes = {EMBEDDINGS: (32, 8), HEAD: (32, 8), "model.layers.0.up.weight": (16, 8), "model.norm.weight": (8,)}
    return {name: torch.randn(shape, generator=draw).to(dtype) for name, shape in shapes.items()}


def tune(tensors: dict, noise: float = 0.01) -> dict:
    draw = torch.Generator().manual_seed(4)
    return {
        name: (one.float() + noise * torch.randn(one.shape, generator=draw)).to(one.dtype)
        for name, one in tensors.items()
    }


@pytest.fixture
def pair(tmp_path):
    """A base in one shard, and what was tuned of it in two, with files beside it."""
    base = base_tensors()
    tuned = tune(base)
    tuned["model.norm.weight"] = base["model.norm.weight"].clone()
    names = sorted(tuned)
    old = write_model(tmp_path / "base", [base])
    new = write_model(tmp_path / "tuned", [{n: tuned[n] for n in names[:2]}, {n: tuned[n] for n in names[2:]}])
    (new / "tokenizer.json").write_text('{"of": "tuned"}')
    (new / "chat_template.jinja").write_text("{{ messages }}")
    (new / "generation_config.json").write_text("{}")
    (new / "optimizer.pt").write_bytes(b"not carried")
    return old, new


def test_there_and_back_is_exact_with_all_that_stands_beside(pair, tmp_path):
    base, tuned = pair
    made = make_delta(base, tuned, tmp_path / "delta")
    assert (made.tensors, made.unchanged, made.whole, made.cast) == (4, 1, 0, 0)
    assert 0 < made.size < made.tuned_size
    assert made.compressible is not None
    assert verify_delta(base, tmp_path / "delta").tuned == 4
    applied = apply_delta(base, tmp_path / "delta", tmp_path / "again")
    assert applied.exact
    assert same_bits(tensors_of(tmp_path / "again"), tensors_of(tuned))
    assert verify_delta(base, tmp_path / "delta", tmp_path / "again").tuned == 4
    beside = {path.name: path.read_bytes() for path in tuned.iterdir() if path.suffix in (".jinja", ".json")}
    beside.pop("model.safetensors.index.json")
    assert {name: (tmp_path / "again" / name).read_bytes() for name in beside} == beside
    assert not (tmp_path / "again" / "optimizer.pt").exists()
    where = json.loads((tmp_path / "again" / "model.safetensors.index.json").read_text())["weight_map"]
    assert sorted(where) == sorted(tensors_of(tuned))
    assert not list(tmp_path.glob(".evolute-*"))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["H", "I", "Q", "B"]).flatmap(
        lambda width: st.tuples(
            st.just(width),
            st.lists(st.tuples(*[st.integers(0, 2 ** (8 * struct.calcsize(width)) - 1)] * 2), min_size=1, max_size=9),
        )
    )
)
def test_any_bits_whatever_come_back(case):
    width, pairs = case
    kinds = {"H": torch.bfloat16, "I": torch.float32, "Q": torch.float64, "B": torch.float8_e4m3fn}
    base, tuned = (
        torch.frombuffer(bytearray(struct.pack(f"<{len(pairs)}{width}", *column)), dtype=kinds[width])
        for column in zip(*pairs, strict=True)
    )
    delta = _difference(tuned, base)
    back = _flat(delta) + _flat(base)
    assert back.tobytes() == _bits(tuned).numpy().tobytes()


def test_nan_and_minus_zero_survive(tmp_path):
    odd = torch.tensor([float("nan"), -0.0, float("inf"), 1e-42])
    base = write_model(tmp_path / "base", [{"a": torch.tensor([0.0, 0.0, float("nan"), -1.0]), "b": torch.tensor(2.0)}])
    tuned = write_model(tmp_path / "tuned", [{"a": odd, "b": torch.tensor(-0.0)}])
    make_delta(base, tuned, tmp_path / "delta")
    apply_delta(base, tmp_path / "delta", tmp_path / "again")
    assert same_bits(tensors_of(tmp_path / "again"), {"a": odd, "b": torch.tensor(-0.0)})


def test_resized_tied_missing_cast_and_differently_sharded(tmp_path):
    whole = base_tensors(torch.float32)
    whole["model.norm.weight"][0] = float("nan")
    gone = whole.pop(HEAD)
    base = write_model(
        tmp_path / "base", [{EMBEDDINGS: whole.pop(EMBEDDINGS)}, whole | {"only.base": gone}], tie_word_embeddings=True
    )
    old = tensors_of(base)
    tuned = {
        EMBEDDINGS: torch.cat([tune(old)[EMBEDDINGS], torch.ones(1, 8)]).bfloat16(),
        HEAD: old[EMBEDDINGS].clone(),
        "model.layers.0.up.weight": tune(old)["model.layers.0.up.weight"].half(),
        "model.norm.weight": old["model.norm.weight"].bfloat16(),
        "only.tuned": torch.arange(6).reshape(2, 3),
    }
    new = write_model(tmp_path / "tuned", [tuned])
    made = make_delta(base, new, tmp_path / "delta")
    assert (made.tensors, made.unchanged, made.whole, made.cast, made.dropped) == (5, 1, 1, 3, 1)
    stored = load_file(tmp_path / "delta" / "delta.safetensors")
    assert HEAD not in stored
    assert stored[EMBEDDINGS].numpy()[-1].tolist() == [0x3F80] * 8  # the new row as it is
    apply_delta(base, tmp_path / "delta", tmp_path / "again")
    assert same_bits(tensors_of(tmp_path / "again"), tuned)


def test_a_base_in_pickles_is_read_as_weights_alone(tmp_path):
    base = base_tensors()
    folder = write_model(tmp_path / "base", [base])
    (folder / "model.safetensors").unlink()
    torch.save(base, folder / "pytorch_model.bin")
    tuned = write_model(tmp_path / "tuned", [tune(base)])
    make_delta(folder, tuned, tmp_path / "delta")
    apply_delta(folder, tmp_path / "delta", tmp_path / "again")
    assert same_bits(tensors_of(tmp_path / "again"), tune(base))

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="weights alone"):
        make_delta(folder, tuned, tmp_path / "delta2")
    assert not (tmp_path / "ran").exists()


def test_another_base_is_refused_before_anything_is_written(pair, tmp_path):
    base, tuned = pair
    make_delta(base, tuned, tmp_path / "delta")
    other = tensors_of(base)
    other["model.layers.0.up.weight"][3, 3] += 1
    wrong = write_model(tmp_path / "wrong", [other])
    with pytest.raises(
        InputError, match=r"wrong: the tensor 'model.layers.0.up.weight' differs in its numbers.*'base'"
    ):
        apply_delta(wrong, tmp_path / "delta", tmp_path / "again")
    with pytest.raises(InputError, match="another base"):
        verify_delta(wrong, tmp_path / "delta")
    smaller = write_model(tmp_path / "smaller", [{EMBEDDINGS: other[EMBEDDINGS].float()}])
    with pytest.raises(InputError, match=r"'lm_head.weight'|its type is float32, not bfloat16"):
        apply_delta(smaller, tmp_path / "delta", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".evolute-*"))


def test_what_is_damaged_is_named(pair, tmp_path):
    base, tuned = pair
    make_delta(base, tuned, tmp_path / "delta")
    shard = tmp_path / "delta" / "delta-00001-of-00002.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=r"delta-00001-of-00002.safetensors: damaged, cut off or changed"):
        verify_delta(base, tmp_path / "delta")
    shard.write_bytes(data[:-4])
    with pytest.raises(InputError, match="damaged, cut off"):
        apply_delta(base, tmp_path / "delta", tmp_path / "again")
    shard.unlink()
    with pytest.raises(InputError, match="missing"):
        apply_delta(base, tmp_path / "delta", tmp_path / "again")
    whole = base / "model.safetensors"
    whole.write_bytes(whole.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"base/model.safetensors: damaged or cut off"):
        make_delta(base, tuned, tmp_path / "delta2")


def test_a_tuned_model_that_is_another_is_named(pair, tmp_path):
    base, tuned = pair
    make_delta(base, tuned, tmp_path / "delta")
    with pytest.raises(InputError, match="not the tuned model that the delta was made of"):
        verify_delta(base, tmp_path / "delta", base)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"files": {"../evil.json": "0"}},
        {"files": {"pytorch_model.bin": "0"}},
        {"shards": [{"tuned": "/etc/passwd", "file": None, "digest": "", "changes": []}]},
        {"shards": 3},
    ],
)
def test_a_hostile_description_is_refused(pair, tmp_path, change):
    base, tuned = pair
    make_delta(base, tuned, tmp_path / "delta")
    path = tmp_path / "delta" / "delta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"delta.json: .* damaged, or a newer"):
        apply_delta(base, tmp_path / "delta", tmp_path / "again")


def test_a_folder_that_is_there_is_kept(pair, tmp_path):
    base, tuned = pair
    with pytest.raises(InputError, match="exists already"):
        make_delta(base, tuned, tuned)
    (tmp_path / "empty").mkdir()
    make_delta(base, tuned, tmp_path / "empty")


def test_what_is_no_folder_with_weights_is_said(pair, tmp_path):
    base, tuned = pair
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"the base must be a folder with safetensors: a \.gguf"):
        make_delta(tmp_path / "m.gguf", tuned, tmp_path / "delta")
    (tuned / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match="this shard is missing"):
        make_delta(base, tuned, tmp_path / "delta")
    with pytest.raises(InputError, match="no such folder"):
        apply_delta(base, tmp_path / "nowhere", tmp_path / "again")


def test_the_commands_say_what_was_done(pair, tmp_path, capsys):
    base, tuned = map(str, pair)
    delta, again = str(tmp_path / "delta"), str(tmp_path / "again")
    main(["delta", "make", base, tuned, "--out", delta])
    assert "4 tensors (1.3 kB): 1 equal to the base's and not stored" in capsys.readouterr().err
    main(["delta", "apply", base, delta, "--out", again])
    assert "exact, each has the checksum" in capsys.readouterr().err
    main(["delta", "verify", base, delta, again])
    assert "all checksums hold: 4 tensors of the base" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["delta", "verify", tuned, delta])
    assert end.value.code == 2
    assert "this delta is for another base ('base')" in capsys.readouterr().err
