"""A model inside the cluster: files of requests answered by vLLM through `ray.data.llm`.

The files are those of `vllm run-batch` (OpenAI's batch format: a line with `custom_id` and `body` for each request), as
batch mode writes them where the provider is `files`. So a run neither knows nor cares who answered them.

Written against Ray 2.60's `vLLMEngineProcessorConfig` and `build_processor`
(https://docs.ray.io/en/latest/data/working-with-llms.html). vLLM itself needs a GPU.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import orjson

from evolute.errors import InputError
from evolute.files import replacing
from evolute.ledger import Reader
from evolute.ledger.batches import batches
from evolute.scale.starting import connect

if TYPE_CHECKING:
    from ray.data.llm import ProcessorConfig

Record = dict[str, Any]
_PASSED_ON = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "min_tokens", "seed", "stop", "presence_penalty",
    "frequency_penalty", "repetition_penalty",
)  # fmt: skip
_LOOK_SECONDS = 5.0
_RENAMED = {"max_completion_tokens": "max_tokens"}
_NOT_OURS = {"model", "messages", "response_format", "structured_outputs", "stream", "n", *_RENAMED}


@dataclass(frozen=True, slots=True)
class Engine:
    """How vLLM runs a model on the cluster.

    `model` is a folder in transformers' layout, at the same path on every node: nothing is downloaded. `replicas`
    engines run side by side; `options` are vLLM's own engine arguments (`{"tensor_parallel_size": 2}`). `accelerator`
    asks for nodes with one, as Ray names it ("H100"). `batch` requests are handed to an engine at a time.
    """

    model: str
    replicas: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    accelerator: str | None = None
    batch: int = 64


def processors() -> ModuleType:
    """The module `ray.data.llm`, without the warning that its way of using pydantic causes."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return import_module("ray.data.llm")


def engine_config(engine: Engine) -> ProcessorConfig:
    """Ray's configuration of it: a request that fails does not take the others with it.

    Raises:
        InputError: the model is no folder, or Ray refuses a field.
    """
    if not (Path(engine.model) / "config.json").is_file():
        raise InputError(f"vLLM's engine: {engine.model!r} is no folder of a model (config.json is missing)")
    from pydantic import ValidationError

    try:
        config: ProcessorConfig = processors().vLLMEngineProcessorConfig(
            model_source=engine.model,
            engine_kwargs=dict(engine.options),
            concurrency=engine.replicas,
            batch_size=engine.batch,
            accelerator_type=engine.accelerator,
            should_continue_on_error=True,
            log_engine_metrics=False,
        )
        return config
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"vLLM's engine: {name}: {first['msg']}, got {first['input']!r}") from None


def to_engine(row: Record) -> Record:
    """A line of requests as vLLM's stage wants it.

    Raises:
        InputError: the body has a field that vLLM's sampling does not know.
    """
    request = orjson.loads(row["text"])
    body = request["body"]
    sampling = {name: body[name] for name in _PASSED_ON if body.get(name) is not None}
    sampling |= {new: body[old] for old, new in _RENAMED.items() if body.get(old) is not None}
    if unknown := sorted(set(body) - set(_PASSED_ON) - _NOT_OURS):
        raise InputError(
            f"{request['custom_id']}: vLLM's sampling knows no {unknown[0]!r} (got {body[unknown[0]]!r}): leave it out "
            "of extra_body"
        )
    if held := _held_to(body):
        sampling["structured_outputs"] = held
    return {
        "custom_id": request["custom_id"], "messages": body["messages"], "sampling_params": sampling,
        "full": sampling.get("max_tokens"),
    }  # fmt: skip


def _held_to(body: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer is held to. A schema goes as text: as a record of a table it would be filled up with nulls."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema is not None:
        return {"json": orjson.dumps(schema).decode()}
    return dict(body.get("structured_outputs") or {})


def from_engine(row: Record) -> Record:
    """An answer of vLLM's as a line of results. It does not say why it ended: an answer of full length was cut off."""
    full, prompt, completion = row["full"], int(row["num_input_tokens"]), int(row["num_generated_tokens"])
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": row["generated_text"]},
        "finish_reason": "length" if full is not None and completion >= full else "stop",
    }
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"line": result_line(row["custom_id"], 200, {"choices": [choice], "usage": usage})}


def result_line(custom_id: str, status: int, body: Mapping[str, Any]) -> bytes:
    """One line of a file of results."""
    response = {"status_code": status, "request_id": custom_id, "body": body}
    return orjson.dumps({"id": custom_id, "custom_id": custom_id, "response": response, "error": None})


def answer(
    source: Path,
    target: Path,
    config: ProcessorConfig,
    *,
    before: Callable[[Record], Record] = to_engine,
    after: Callable[[Record], Record] = from_engine,
) -> int:
    """Answer a file of requests on the cluster that this process has joined; the results appear whole or not at all.

    Args:
        source: a line for each request.
        target: gets a line for each result, in any order. A request that failed has one with status 500, so that it
            is asked again.
        config: of a processor of `ray.data.llm`.
        before: a line (as `text`) as the processor wants it.
        after: its answer, with the result's `line`.

    Returns:
        The number of results.
    """
    import ray.data

    processor = processors().build_processor(config, preprocess=before, postprocess=after)
    lines = ray.data.read_text(str(source))
    count = 0
    with replacing(target) as file:
        for row in processor(lines).iter_rows():
            failure = row.get("__inference_error__")
            line = result_line(row["custom_id"], 500, {"error": {"message": failure}}) if failure else row["line"]
            file.write(line + b"\n")
            count += 1
    return count


def check_vllm() -> None:
    """Look that vLLM is there to be run.

    Raises:
        InputError: it is not.
    """
    if find_spec("vllm") is None:
        raise InputError(
            "vLLM is not installed here, and its engine runs on the nodes of the cluster: pip install vllm, in the "
            "same version on each (it needs a GPU)"
        )


def waiting(run: Path) -> list[tuple[Path, Path]]:
    """The files of requests that a run waits for, each with the file that its answers go to.

    Raises:
        LedgerError: there is no run, or its ledger cannot be read.
    """
    with Reader(run) as reader:
        names = [batch.name for batch in batches(reader, only_open=True) if batch.state == "submitted"]
    files = [(run / "batches" / f"{name}.jsonl", run / "batches" / f"{name}.answers.jsonl") for name in names]
    return [(source, target) for source, target in files if source.is_file() and not target.is_file()]


def answer_waiting(
    run: Path,
    engine: Engine,
    *,
    on: str = "ray",
    follow: bool = False,
    say: Callable[[str], None] = lambda remark: None,
) -> int:
    """Answer what a run waits for, with vLLM on a cluster.

    Args:
        run: the run's folder; its model's `batch.provider` is `files`.
        engine: the model, and how it is run.
        on: the cluster (`evolute.scale.starting`).
        follow: when all is answered, wait for more, until interrupted.
        say: told what is answered.

    Returns:
        The number of files.

    Raises:
        InputError: vLLM is missing, the engine's options are wrong, or there is no such cluster.
        LedgerError: there is no run.
    """
    files = waiting(run)
    config = engine_config(engine)
    check_vllm()
    count = 0
    with connect(on):
        while files or follow:
            for source, target in files:
                say(f"{source}: {answer(source, target, config):,} requests answered")
                count += 1
            if not (files := waiting(run)) and follow:
                time.sleep(_LOOK_SECONDS)
    return count
