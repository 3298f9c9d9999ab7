"""The reference itself: lm-evaluation-harness as a process, on the same questions and model, read into our scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.choice.documents import Benchmark, Document, find_file, read_documents
from evolute.evaluate.choice.encoding import Pair
from evolute.evaluate.choice.scorer import Likelihood
from evolute.evaluate.choice.tasks import SHOTS, Question, Task, make_task
from evolute.evaluate.code.finding import rows_of
from evolute.models.weights import DTYPES, LocalModel, find_model
from evolute.pipeline.choices import Choosing, Chosen, marked_with, told
from evolute.pipeline.likelihoods import Found
from evolute.pipeline.summary import EVALUATION

VERSION = "0.4.13"
_TAIL = 15
_PLACES: Mapping[str, tuple[str, str, str]] = {
    "mmlu": ("cais/mmlu", "test", "dev"),
    "arc-challenge": ("allenai/ai2_arc", "test", "train"),
    "hellaswag": ("Rowan/hellaswag", "validation", "train"),
    "truthfulqa": ("truthfulqa/truthful_qa", "validation", ""),
}
"""Where the harness's tasks look: the data's name on the hub, the questions' split, the examples' split."""
_CONFIGS = {"arc-challenge": "ARC-Challenge", "truthfulqa": "multiple_choice", "hellaswag": "default"}


def evaluate_with_harness(
    benchmark: Benchmark,
    model: str | Path,
    *,
    data: str | Path,
    out: str | Path | None = None,
    python: str | None = None,
    shots: int | None = None,
    limit: int | None = None,
    subjects: Sequence[str] = (),
    dtype: str = "auto",
    device: str | None = None,
    batch_size: int = 1,
    say: Callable[[str], None] = lambda remark: None,
) -> Chosen:
    """Score a model on MMLU, ARC-Challenge, TruthfulQA or HellaSwag with lm-evaluation-harness's stock tasks.

    Its process runs offline on a copy of the questions. The score has our metrics, scale and items, so that
    `evolute compare` sets it against one of `evaluate_choices`.

    Args:
        benchmark: which; GSM8K is not run.
        model: a folder as transformers writes it, a `.gguf` file, or "smollm2".
        data: the folder with the benchmark's files, or the one above it, or the file of the questions.
        out: where results.json and choices.jsonl are written.
        python: that of an environment with lm-eval; None: the running one.
        shots: solved examples before each question; None: as `evaluate_choices` has them.
        limit: the first so many questions; of MMLU, of each subject.
        subjects: of MMLU, only these.
        dtype: auto, float32, bfloat16 or float16.
        device: cpu, cuda, …; None: the harness's choice.
        batch_size: texts in one pass of the harness.
        say: told what is being done.

    Raises:
        InputError: an option is wrong, lm-eval is not there, its run failed, or it logged not what was asked.
    """
    if benchmark not in _PLACES:
        raise InputError(f"--backend harness: {benchmark} is not run by it; it runs {', '.join(_PLACES)}")
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if batch_size < 1:
        raise InputError(f"--harness-batch must be at least 1, got {batch_size!r}")
    task = make_task(benchmark, data, shots=shots, limit=limit, subjects=subjects)
    local, program = find_model(str(model)), _python(python)
    folder = Path(out) if out is not None else None
    if folder is not None and (folder / EVALUATION).exists():
        raise InputError(f"{folder} holds another evaluation: give another --out")
    said = Choosing(
        benchmark=benchmark, files=str(model), data=str(data), shots=SHOTS[benchmark] if shots is None else shots,
        limit=limit, subjects=tuple(subjects), dtype=dtype,
    )  # fmt: skip
    with TemporaryDirectory(prefix="evolute-harness-") as name:
        root = Path(name)
        write_mirror(root, task, Path(data))
        say(f"lm-evaluation-harness scores {len(task.questions):,} questions, {task.shots} examples before each")
        _run(program, root, task, local, dtype, device, batch_size)
        found = read_samples(root / "out", task, local.name)
    marked = [marked_with(question, found) for question in task.questions]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return told(task, marked, found, said, folder)


def _python(given: str | None) -> str:
    if given is None and find_spec("lm_eval") is None:
        raise InputError(
            f"--backend harness: lm-evaluation-harness is not installed: pip install lm-eval=={VERSION} (with torch, "
            "transformers, accelerate), or give --harness-python the python of an environment that has it"
        )
    # It starts in another folder; a link is kept, since an environment's python is one.
    return str(Path(which(given) or given).absolute()) if given else sys.executable


def write_mirror(root: Path, task: Task, data: Path) -> None:
    """Write the questions and examples where the harness's tasks look for them: folders named as on the hub."""
    place, split, shown = _PLACES[task.benchmark]
    asked = [question.document for question in task.questions]
    # Without examples the harness still opens the split that they would come from.
    has = bool(shown) and find_file(task.benchmark, "shots", data) is not None
    examples = read_documents(task.benchmark, "shots", data) if has else asked
    configs = _CONFIGS.get(task.benchmark)
    lines = ["---", "configs:"]
    for config in [configs] if configs else list(dict.fromkeys(one.subject for one in asked)):
        lines += [f"- config_name: {config}", "  data_files:"]
        for name, documents in ((split, asked), (shown, examples)):
            if name:
                mine = [_row(task.benchmark, one) for one in documents if configs or one.subject == config]
                _write(root / place / config / f"{name}.jsonl", mine)
                lines.append(f"  - {{split: {name}, path: {config}/{name}.jsonl}}")
    (root / place / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def _row(benchmark: Benchmark, document: Document) -> dict[str, Any]:
    """As the hub has it."""
    row = document.row
    if benchmark == "mmlu":
        gold = document.right[""].index(True)
        return {"question": row["question"], "subject": document.subject, "choices": row["choices"], "answer": gold}
    if benchmark == "truthfulqa":
        lists = {
            f"{name}_targets": {"choices": choices, "labels": [int(one) for one in document.right[name]]}
            for name, choices in document.choices.items()
        }
        return {"question": document.text, **lists}
    if benchmark == "arc-challenge":
        return {name: row.get(name) for name in ("id", "question", "choices", "answerKey")}
    label = str(document.right[""].index(True))
    if "query" in row and "choices" in row:
        activity, _, middle = document.text.partition(": ")
        return {"activity_label": activity, "ctx_a": middle, "ctx_b": "", "endings": row["choices"], "label": label}
    return {name: row[name] for name in ("activity_label", "ctx_a", "ctx_b", "endings")} | {"label": label}


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _run(
    python: str, root: Path, task: Task, model: LocalModel, dtype: str, device: str | None, batch_size: int
) -> None:
    """Run it to its end. Links to the model spare its arguments the commas that a path may have."""
    if model.path.is_file():
        (root / "model").mkdir()
        (root / "model" / "model.gguf").symlink_to(model.path.resolve())
        arguments = f"pretrained={root / 'model'},gguf_file=model.gguf,dtype={'float32' if dtype == 'auto' else dtype}"
    else:
        (root / "model").symlink_to(model.path.resolve())
        arguments = f"pretrained={root / 'model'},dtype={dtype}"
    command = [
        python, "-m", "lm_eval", "--model", "hf", "--model_args", arguments, "--tasks", ",".join(_tasks(task)),
        "--num_fewshot", str(task.shots), "--batch_size", str(batch_size), "--log_samples",
        "--output_path", str(root / "out"),
        *(["--device", device] if device else []),
    ]  # fmt: skip
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(root / "home")}
    last: list[str] = []
    try:
        with subprocess.Popen(
            command,
            cwd=root,
            env=offline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                sys.stderr.write(line)
                last = [*last, line.rstrip()][-_TAIL:]
    except OSError as error:
        raise InputError(f"--harness-python {python!r}: cannot be run: {error.strerror}") from None
    if process.returncode:
        raise InputError("lm-evaluation-harness failed; the last it said:\n" + "\n".join(last))


def _tasks(task: Task) -> dict[str, tuple[str, list[Question]]]:
    """The harness's task, the list of choices that it scores, and its questions in its order."""
    questions = list(task.questions)
    if task.benchmark == "truthfulqa":
        return {f"truthfulqa_{name}": (name, questions) for name in ("mc1", "mc2")}
    if task.benchmark != "mmlu":
        return {task.benchmark.replace("-", "_"): ("", questions)}
    found: dict[str, tuple[str, list[Question]]] = {}
    for question in questions:
        found.setdefault(f"mmlu_{question.document.subject}", ("", []))[1].append(question)
    return found


def read_samples(folder: Path, task: Task, model: str) -> Found:
    """Read what the harness logged (`samples_TASK_*.jsonl` below a folder) for the questions of a task.

    Raises:
        InputError: a file, a question or a number is missing, or has another number of choices.
    """
    found: dict[Pair, Likelihood] = {}
    differ = 0
    for name, (choices, questions) in _tasks(task).items():
        if not (paths := sorted(folder.rglob(f"samples_{name}_[0-9]*.jsonl*"))):
            raise InputError(f"lm-evaluation-harness wrote no samples of {name}")
        rows = {row.get("doc_id"): (where, row) for where, row in rows_of(paths[-1])}
        for number, question in enumerate(questions):
            where, row = rows.get(number, (str(paths[-1]), {}))
            pairs = question.pairs(choices)
            asked, logged = _logged(row, where)
            if len(logged) != len(pairs):
                raise InputError(f"{where}: question {number}: {len(logged)} of {len(pairs)} choices are scored")
            differ += asked != pairs
            found |= dict(zip(pairs, logged, strict=True))
    notes = [f"scored by lm-evaluation-harness {(version := _version(folder))}"]
    if differ:
        notes.append(f"{differ:,} prompts of the harness are not to the letter ours")
    ran = {"backend": f"lm-evaluation-harness {version}"}
    return Found(model, len(found), found, len(found), ran, notes)


def _logged(row: Mapping[str, Any], where: str) -> tuple[list[Pair], list[Likelihood]]:
    """The prompts of a logged question and what each choice came to."""
    try:
        asked = [(one["arg_0"], one["arg_1"]) for one in row.get("arguments", {}).values()]
        said = [Likelihood(float(value), str(greedy) == "True") for value, greedy in row.get("filtered_resps", ())]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: not as lm-evaluation-harness {VERSION} logs a question ({type(error).__name__}: {error}); "
            "another version may log otherwise"
        ) from None
    return asked, said


def _version(folder: Path) -> str:
    paths = sorted(folder.rglob("results_*.json"))
    return str(json.loads(paths[-1].read_bytes()).get("lm_eval_version", VERSION)) if paths else VERSION
