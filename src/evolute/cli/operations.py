"""`evolute operations list | show | try`: what the operations are, what they send, and what comes of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from evolute.errors import InputError
from evolute.operations import Judge, Operation, load_judge, load_operations
from evolute.recipe import ModelSpec, RoleSpec, Rules
from evolute.records import Completion, Finding, Message, Request
from evolute.text import check_instruction, clean_instruction, failure_reason, printable

Folders = Annotated[list[Path] | None, Parameter(name="--operations", negative="", help="A folder of your own.")]
Json = Annotated[bool, Parameter(negative="", help="The result as JSON on standard output.")]


def list_operations(*, operations: Folders = None, json: Json = False) -> None:
    """List all operations: the shipped ones, and those of `--operations DIR` (which win where a name recurs)."""
    known = load_operations(operations or ())
    if json:
        _write_json([_facts(operation) for operation in known.values()])
        return
    width = max(len(name) for name in known)
    _say(f"{'name':<{width}}  {'family':<10}  weight  source")
    for name, operation in known.items():
        _say(f"{name:<{width}}  {operation.family:<10}  {operation.weight:>6g}  {operation.source}")


def show(name: str, *, operations: Folders = None, json: Json = False) -> None:
    """Show one operation, or the judge `equality`: where it comes from, and the text that decides its prompts.

    Raises:
        InputError: there is no operation of that name.
    """
    found: Operation | Judge
    found = load_judge(name, operations or ()) if name == "equality" else _find(name, operations)
    facts = _facts(found)
    if json:
        _write_json(facts | {"text": found.text})
        return
    for field, value in facts.items():
        _say(f"{field:<14} {value}")
    _say("")
    _say(found.text)


def try_(
    name: str,
    instruction: str,
    *,
    base_url: Annotated[str, Parameter(help="The endpoint, up to its version. Default: the embedded model.")] = "",
    model: Annotated[str, Parameter(help="The model's name there.")] = "",
    api: Annotated[Literal["chat", "completions", "anthropic"], Parameter(help="How to talk to it.")] = "chat",
    api_key_env: Annotated[str, Parameter(help="The environment variable with the key.")] = "OPENAI_API_KEY",
    operations: Folders = None,
    draw: Annotated[int, Parameter(help="Another sample, and for complicate-input another format.")] = 0,
    demonstrations: Annotated[
        bool | None, Parameter(help="Send the demonstrations as earlier turns. Default: to the embedded model only.")
    ] = None,
    temperature: Annotated[float, Parameter(help="How freely the model samples.")] = RoleSpec().temperature or 0.0,
    max_tokens: Annotated[int, Parameter(help="At most so many tokens of answer.")] = 512,
    json: Json = False,
) -> None:
    """Send an instruction through one operation, and say what the rules make of the completion. Nothing is recorded.

    Raises:
        InputError: no such operation, or an endpoint without a model's name.
        EndpointError: the endpoint cannot be used.
    """
    operation = _find(name, operations)
    if base_url and not model:
        raise InputError("--base-url needs --model NAME, the model's name at that endpoint")
    fields = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
    spec = ModelSpec.model_validate({"api": api, **fields} if base_url else {"api": "embedded"})
    shown = demonstrations if demonstrations is not None else not base_url
    messages = operation.messages(instruction, draw=draw, demonstrations=shown)
    sampling = RoleSpec(temperature=temperature, max_tokens=max_tokens).sampling
    completion = asyncio.run(_ask(spec, Request("evolver", messages, spec.identity, draw, sampling)))
    text, finding = _judge(completion, instruction, operation)
    if json:
        _write_json(_outcome(messages, completion, text, finding))
        return
    for part in _report(messages, completion, text, finding):
        _say(part)


async def _ask(spec: ModelSpec, request: Request) -> Completion:
    from evolute.pipeline.evolving import open_model  # the other two commands need none of it

    async with open_model(spec) as model:
        return await model.complete(request)


def _judge(completion: Completion, parent: str, operation: Operation) -> tuple[str, Finding | None]:
    """The instruction, as far as there is one, and what the rules found."""
    if completion.text is None or completion.failure is not None:
        reason = failure_reason(completion.failure, response=False) if completion.failure else None
        return "", Finding(reason, {"detail": completion.detail}) if reason else None
    cleaned = clean_instruction(completion.text, parent=parent)
    if isinstance(cleaned, Finding):
        return completion.text, cleaned
    return cleaned, check_instruction(cleaned, parent=parent, family=operation.family, rules=Rules())


def _report(messages: tuple[Message, ...], completion: Completion, text: str, finding: Finding | None) -> Iterator[str]:
    for message in messages:
        yield f"── {message.role}\n{message.content}\n"
    yield f"── completion ({completion.usage.completion} tokens, {completion.latency:.1f} s)\n{completion.text or ''}\n"
    if finding is None:
        yield "── the rules find nothing wrong" + ("" if text == completion.text else f"; cleaned, it is\n{text}")
        return
    said = "; ".join(f"{name}: {value}" for name, value in finding.evidence.items())
    yield f"── dropped: {finding.reason.value} ({said})"


def _outcome(
    messages: tuple[Message, ...], completion: Completion, text: str, finding: Finding | None
) -> dict[str, Any]:
    return {
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "completion": completion.text,
        "instruction": text if finding is None else None,
        "reason": finding.reason.value if finding else None,
        "evidence": dict(finding.evidence) if finding else {},
    }


def _find(name: str, folders: list[Path] | None) -> Operation:
    known = load_operations(folders or ())
    if name not in known:
        raise InputError(f"no operation {name!r}; there are: {', '.join(known)}, and the judge equality")
    return known[name]


def _facts(found: Operation | Judge) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": found.name, "family": "judge"}
    if isinstance(found, Operation):
        facts |= {"family": found.family, "weight": found.weight, "demonstrations": len(found.demonstrations)}
    return facts | {"source": found.source, "file": found.path, "hash": found.hash.hex()}


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def _write_json(value: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
