"""Look at a recipe before anything is spent: what is wrong, what is missing here, and what `run` would do."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from evolute.encoders.opening import SENTENCE, STATIC
from evolute.errors import AuthenticationFailed, EvoluteError, InputError, MissingExtra, SandboxError
from evolute.evolve.session import Craft
from evolute.models.embedded import find_weights
from evolute.models.http import Http, is_private
from evolute.models.prices import unit_price
from evolute.models.weights import find_model
from evolute.pipeline.evolving import seed_options
from evolute.pipeline.grading import load_graders
from evolute.pipeline.publishing import DATASET_FOLDER
from evolute.pipeline.running import check_extras
from evolute.pipeline.stopping import in_loop
from evolute.recipe import ModelSpec, Recipe
from evolute.recipe.validating import validate as validate_fields
from evolute.sandbox import Sandbox
from evolute.seeds import SeedReader
from evolute.seeds.sources import places

_LOOKED_AT = 20  # seeds of each file, to recognise it
_COUNTED = 1_000_000
_DONE = {"drop": "dropped", "flag": "flagged", "keep": "kept"}


@dataclass(slots=True)
class Validation:
    """What was found.

    `errors` are to be mended in the recipe or the files that it names. `missing` is what this machine or the command
    still has to give: a key, an endpoint, a package. `plan` says, by stage, what `evolute run` would do.
    """

    errors: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    plan: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Nothing is wrong, and nothing is missing."""
        return not (self.errors or self.missing)


def validate(recipe: str | Path) -> Validation:
    """Look at a recipe's file, or a shipped recipe's: all that is wrong at once. No endpoint is asked.

    Operations and graders are loaded, and the seeds are read and counted (up to a million). Keys are looked for, and
    never shown.
    """
    chosen, errors = validate_fields(recipe)
    found = Validation(errors)
    if chosen is None:
        return found

    for look in (_seeds, _models, _evolution, _verification, _selection, _output):
        with _noting(found, str(recipe)):
            look(found, chosen, str(recipe))
    return found


@contextmanager
def _noting(found: Validation, where: str) -> Iterator[None]:
    """Note what is wrong, and go on looking."""
    try:
        yield
    except MissingExtra as missing:
        found.missing.append(str(missing))
    except EvoluteError as error:
        found.errors.append(f"{where}: {error}")


def _seeds(found: Validation, recipe: Recipe, where: str) -> None:
    files, before = recipe.seeds.files, len(found.errors)
    if not files:
        found.missing.append("seeds.files names no file: write one there, or give --seeds FILE to `evolute run`")
    options = replace(seed_options(recipe.seeds), sample=None, limit=_LOOKED_AT)
    for name in files:
        with _noting(found, f"{where}: seeds.files"):
            if name == "-" or next(places(name)).hub:
                found.plan.append(("seeds", f"{name}: read when the run begins"))
                if name != "-" and find_spec("datasets") is None:
                    raise MissingExtra(f"reading {name!r} from the Hugging Face hub", "parquet")
                continue
            reader = SeedReader([name], options, on_bad=lambda row: None)
            if sum(1 for _ in reader) == 0:
                raise InputError(f"{name} has no seed: see seeds.where and seeds.column")
            found.plan += [("seeds", item.sentence) for item in reader.recognised]
    if not files:
        return
    found.plan += [("", f"of these, {said}") for said in _chosen_seeds(recipe)]
    if len(found.errors) == before and not any(name == "-" or next(places(name)).hub for name in files):
        with _noting(found, f"{where}: seeds.files"):
            found.plan.append(("", _counted(recipe)))


def _counted(recipe: Recipe) -> str:
    """How many seeds there are, each counted once, and what they will ask; no more than a million are read."""
    limit = min(recipe.seeds.limit or _COUNTED, _COUNTED)
    reader = SeedReader(recipe.seeds.files, replace(seed_options(recipe.seeds), limit=limit), on_bad=lambda row: None)
    ids: set[bytes] = set()
    calls = read = 0
    for seed in reader:
        read += 1
        if seed.id not in ids:
            ids.add(seed.id)
            calls += _calls(recipe, answered=seed.response is not None)
    more = " or more (no more were counted)" if read == _COUNTED and recipe.seeds.limit is None else ""
    told = f"{_count(len(ids), 'seed')}{more}: about {calls:,} calls to evolve them where every child is kept"
    return told + (", and the grader's" if "grader" in chain.from_iterable(_models_used(recipe).values()) else "")


def _chosen_seeds(recipe: Recipe) -> Iterator[str]:
    source = recipe.seeds
    if source.where:
        yield f"only those where {' and '.join(source.where)}"
    if source.limit is not None:
        yield f"the first {source.limit:,}"
    if source.sample is not None:
        yield f"{source.sample:,} at random"


def _models(found: Validation, recipe: Recipe, where: str) -> None:
    for name, roles in _models_used(recipe).items():
        spec = recipe.models[name]
        at = f"models.{name}"
        if spec.api in ("embedded", "local", "scripted"):
            how = f"{spec.api} model, on this machine"
            if spec.api == "local":
                _look_for_files(found, at, spec)
            elif spec.api == "embedded":
                _look_for_embedded(found, at)
        elif lacking := ["base_url"] * (not spec.base_url) + ["model"] * ("model" not in spec.model_fields_set):
            settings = " ".join(f"--set {at}.{one}={one.upper()}" for one in lacking)
            found.missing.append(f"{at} has no {' and no '.join(lacking)}: write them there, or give {settings}")
            how = f"{spec.api}, endpoint not named yet"
        else:
            how = _endpoint(found, f"{where}: {at}", spec)
        found.plan.append(("models", f"{name}: {how}; plays {', '.join(roles)}; {_price(spec)}"))


def _models_used(recipe: Recipe) -> dict[str, list[str]]:
    """The models that would be asked, each with its roles."""
    grade = recipe.select.grade
    used: dict[str, list[str]] = {}
    for role, asked in (
        ("evolver", recipe.evolve.rounds > 0),
        ("judge", recipe.evolve.rounds > 0 and recipe.evolve.judge),
        ("responder", recipe.evolve.respond != "never" or grade.responses > 1),
        ("grader", grade.asks),
    ):
        if asked:
            used.setdefault(recipe.spec(role)[0].model, []).append(role)
    encoder = recipe.select.duplicates.encoder
    if recipe.select.encodes and encoder in recipe.models:
        used.setdefault(encoder, []).append("encoder")
    return used


def _look_for_embedded(found: Validation, where: str) -> None:
    try:
        find_weights()
        if find_spec("xllamacpp") is None:
            raise InputError("the embedded model's engine is missing; install it with: evolute models install smollm2")
    except InputError as error:
        found.missing.append(f"{where}: {error}")


def _look_for_files(found: Validation, where: str, spec: ModelSpec) -> None:
    try:
        find_model(spec.model)
    except InputError as error:
        found.missing.append(f"{where}: {error}")


def _endpoint(found: Validation, where: str, spec: ModelSpec) -> str:
    """How an endpoint would be asked; what it lacks is noted."""
    try:
        Http(spec)  # opens nothing; reads the key and the headers' variables
    except AuthenticationFailed as error:
        found.missing.append(f"{where}: {error}")
        key = f"key in {spec.api_key_env}: not set"
    except EvoluteError as error:
        found.errors.append(f"{where}: {error}")
        return f"{spec.api}, {spec.model!r}"
    else:
        host = urlsplit(spec.base_url).hostname or ""
        key = f"key in {spec.api_key_env}: {_key_state(spec, host)}"
    return f"{spec.api}, {spec.model!r} at {spec.base_url}, {key}"


def _key_state(spec: ModelSpec, host: str) -> str:
    if os.environ.get(spec.api_key_env, "").strip():
        return "set"
    return "not set, and a server on this network commonly wants none" if is_private(host) else "not set"


def _price(spec: ModelSpec) -> str:
    price = unit_price(spec)
    if price is None:
        return "price unknown (set `price`, or costs are not shown and --max-cost is refused)"
    if price.input == price.output == 0:
        return "free of charge"
    return f"${price.input:g} in, ${price.output:g} out per million tokens"


def _evolution(found: Validation, recipe: Recipe, where: str) -> None:
    evolve = recipe.evolve
    craft = Craft.of(recipe)
    drawn = ", ".join(name if weight == 1 else f"{name} ({weight:g})" for name, weight in craft.weights.items())
    found.plan.append(
        ("evolve", f"{_count(evolve.rounds, 'round')}, {_count(evolve.branches, 'child', 'children')} for each parent")
    )
    found.plan.append(("", f"operations: {drawn}"))
    found.plan.append(("", f"about {_calls(recipe):,} calls for each seed where every child is kept"))
    if (stop := evolve.stop) is not None:
        times = evolve.rounds + stop.seeds
        found.plan.append(("", f"Evol Stop: up to {_count(times, 'time')}, {stop.command}"))
        if shutil.which(program := shlex.split(stop.command)[0]) is None:
            found.missing.append(f"evolve.stop.command: there is no program {program!r} here")


def _verification(found: Validation, recipe: Recipe, where: str) -> None:
    """Open the sandbox once, so that its lack is not found out after the first answers have been paid for."""
    rules = recipe.verify
    if not rules.answers:
        return
    found.plan.append(
        (
            "verify",
            f"each answer's code is run on tests of its own; what cannot be verified, with up to "
            f"{_count(rules.repairs, 'repair')} at a call each, is {_DONE[rules.unverified]}",
        )
    )

    async def opened() -> None:
        async with Sandbox(workers=1):
            pass

    try:
        in_loop(opened, lambda: None)
    except SandboxError as error:
        found.missing.append(f"{where}: verify.answers: {error}")


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _calls(recipe: Recipe, *, answered: bool = False) -> int:
    """Calls for one seed, which has a response if `answered`, where nothing is dropped."""
    evolve = recipe.evolve
    children: list[int] = [evolve.branches**round_ for round_ in range(1, evolve.rounds + 1)]
    answer = 1 + recipe.verify.answers  # a verified one is asked for its tests
    each = 1 + evolve.judge + answer * (evolve.respond == "every")
    last = answer * children[-1] if children and evolve.respond == "last" else 0
    wanted = evolve.seed_responses == "regenerate" or (evolve.seed_responses == "missing" and not answered)
    seed = evolve.respond != "never" and wanted
    return each * sum(children) + last + answer * seed


def _selection(found: Validation, recipe: Recipe, where: str) -> None:
    select = recipe.select
    found.plan.append(("select", "; ".join(_selecting(recipe))))
    encoder = select.duplicates.encoder
    if encoder != STATIC and encoder not in recipe.models and not encoder.startswith(SENTENCE):
        found.errors.append(
            f"{where}: select.duplicates.encoder: there is no encoder {encoder!r}: write {STATIC!r}, "
            f"'{SENTENCE}NAME_OR_PATH', or a name under models ({', '.join(recipe.models)})"
        )
    if "grader" in chain.from_iterable(_models_used(recipe).values()):
        load_graders(recipe)
    if select.contamination.check != "ignore":
        from evolute.text.corpora.reading import read_corpus

        for source in select.contamination.corpora:
            if "hf:" not in source:  # those on the hub are read when they are wanted
                with _noting(found, f"{where}: select.contamination.corpora"):
                    read_corpus(source)


def _selecting(recipe: Recipe) -> Iterator[str]:
    select = recipe.select
    duplicates, grade = select.duplicates, select.grade
    same = ["exact"] * duplicates.exact
    same += [f"near (Jaccard {duplicates.near:g})"] if duplicates.near is not None else []
    same += [f"semantic (cosine {duplicates.semantic:g})"] if duplicates.semantic is not None else []
    yield f"duplicates: {', '.join(same) or 'not looked for'}"
    if select.contamination.check != "ignore":
        yield f"overlaps of {select.contamination.words} words with benchmarks: {_DONE[select.contamination.check]}"
    yield f"quality: {len(select.quality.drop)} reasons to drop, {len(select.quality.flag)} to flag"
    if select.tokens.tokenizer:
        yield f"rows over {select.tokens.budget:,} tokens"
    asked: Mapping[str, bool] = {
        "difficulty": grade.difficulty,
        "complexity and quality": grade.siblings,
        f"{grade.responses} responses a row, ranked": grade.responses > 1,
    }
    if any(asked.values()):
        yield f"the grader: {', '.join(name for name, wanted in asked.items() if wanted)}"
    if select.mixture.rows is not None:
        yield f"{select.mixture.rows:,} rows ({select.mixture.by})"


def _output(found: Validation, recipe: Recipe, where: str) -> None:
    out = recipe.folder
    export = recipe.export
    split = f", {export.validation:g} of the lineages for validation" if export.validation else ""
    found.plan.append(("report", str(out / "report.html")))
    found.plan.append(("export", f"{export.format}, {export.container}{split}: {out / DATASET_FOLDER}"))
    if out.exists() and not out.is_dir():
        found.errors.append(f"{where}: out: {str(out)!r} is a file: name a folder")
    check_extras(recipe)
