"""The command line. Commands are imported when they are called, so that `evolute --help` costs nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from cyclopts import App

from evolute import __version__
from evolute.errors import EvoluteError, InputError

app = App(
    name="evolute",
    version=__version__,
    help="""Turn a few seed instructions into a dataset worth training on.

    evolute init seeds.jsonl --base-url http://localhost:8000/v1 --model my-model
    evolute run recipe.yaml

    `init` writes a recipe, and `run` does what it says: evolve, select, report,
    export. Each stage is a command, too. Without --base-url the embedded SmolLM2
    answers. A run can be stopped at any moment and resumed with the same command:
    no call is paid for twice.""",
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # main says what that means
)
app.command("evolute.cli.init:init", help="Write a commented recipe for your seeds and endpoint.", sort_key=0)
app.command(
    "evolute.cli.run:run", help="The whole way that a recipe describes: evolve, select, report, export.", sort_key=1
)
app.command("evolute.cli.evolve:plan", help="Estimate calls, tokens, cost and time from a small pilot.", sort_key=2)
app.command("evolute.cli.evolve:evolve", help="Evolve seeds into a dataset, or go on with a run.", sort_key=3)
app.command("evolute.cli.select:select", help="Decide which rows make the dataset, with evidence for each.", sort_key=4)
app.command("evolute.cli.report:report", help="Write a page on the run, to look at in a browser.", sort_key=5)
app.command("evolute.cli.export:export", help="Write the dataset for a trainer, or as a folder to publish.", sort_key=6)
app.command("evolute.cli.push:push", help="Publish an exported folder on the Hugging Face hub.", sort_key=7)
app.command("evolute.cli.runs:status", help="How a run stands; works while it runs.", sort_key=8)
app.command("evolute.cli.runs:show", help="Draw lineages, or one with its prompts.", sort_key=9)
app.command("evolute.cli.compare:compare", help="Runs side by side, or evaluations.", sort_key=10)
app.command("evolute.cli.merge:merge", help="Make one run of several.", sort_key=11)
app.command("evolute.cli.cancel:cancel", help="Cancel the batches that a run waits for.", sort_key=11)
app.command("evolute.cli.runs:verify", help="Check every invariant of a run.", sort_key=12)
app.command("evolute.cli.runs:replay", help="Rebuild the dataset with the network off, and compare.", sort_key=13)

benchmarks = App(
    sort_key=14,
    name="evaluate",
    help="""Benchmarks: a suite of them on a MODEL, or one by its own command.

    evolute evaluate my-model --base-url URL --suite code --data DATA --out runs/eval
    evolute evaluate smollm2 --against other --judge-model judge --judge-base-url URL --out runs/quick
    evolute evaluate humaneval --samples samples.jsonl --data HumanEval.jsonl.gz

    In the folder --out every answer, judgment and execution is recorded: the same
    command goes on where it was stopped. The code that models write runs in a sandbox.""",
    help_format="plaintext",
)
benchmarks.command(
    "evolute.cli.suite:evaluate_model",
    name="model",
    help="A suite of benchmarks on a MODEL, with a table and a page; the word `model` may be left out.",
    sort_key=0,
)
for _name, _about in (
    ("humaneval", "164 Python functions to complete from signature and docstring (Chen et al. 2021)."),
    ("humaneval_plus", "HumanEval with EvalPlus's inputs, 80 times as many (Liu et al. 2023)."),
    ("mbpp", "500 short Python tasks with three tests each (Austin et al. 2021)."),
    ("mbpp_plus", "378 of MBPP's tasks with EvalPlus's inputs, 35 times as many (Liu et al. 2023)."),
):
    benchmarks.command(f"evolute.cli.evaluate:{_name}", name=_name.replace("_", "-"), help=_about)
for _name, _about in (
    ("quick", "20 instructions of our own by skill and difficulty, judged in pairs: needs no data."),
    ("wizardlm", "The WizardLM test set: 218 instructions by skill and difficulty, judged in pairs (Xu et al. 2023)."),
    ("vicuna", "Two answers scored of ten side by side (Vicuna 2023): the ratio of the summed scores."),
    ("mt_bench", "80 questions of two turns, graded of ten or judged in pairs (Zheng et al. 2023)."),
    ("alpaca_eval", "How often a model's answer is preferred to a reference's (Dubois et al. 2023, 2024)."),
):
    benchmarks.command(f"evolute.cli.judged:{_name}", name=_name.replace("_", "-"), help=_about)
for _name, _about in (
    ("mmlu", "57 subjects, four choices each, 5-shot (Hendrycks et al. 2021)."),
    ("arc_challenge", "Hard science questions of school, 25-shot (Clark et al. 2018)."),
    ("truthfulqa", "Questions that many answer wrongly, 0-shot: mc1 and mc2 (Lin et al. 2021)."),
    ("hellaswag", "How a scene goes on, of four endings, 10-shot (Zellers et al. 2019)."),
    ("gsm8k", "Word problems, answered in steps, 5-shot: the number must match (Cobbe et al. 2021)."),
):
    benchmarks.command(f"evolute.cli.choices:{_name}", name=_name.replace("_", "-"), help=_about)
app.command(benchmarks)
app.command("evolute.cli.chat:chat", help="Talk to a model in the terminal.", sort_key=18)
app.command("evolute.cli.demo_page:demo", help="A page to talk to a model, or to two side by side.", sort_key=18)
app.command(
    "evolute.cli.respond:respond", help="Have a model answer every row of a file, each once, in order.", sort_key=15
)

app.command("evolute.cli.answer:answer", help="Answer a run's batches with vLLM on a Ray cluster.", sort_key=17)
app.command("evolute.cli.serve:serve", help="Serve a model as an OpenAI-compatible endpoint.", sort_key=17)

app.command("evolute.cli.train:train", help="Train a model on a dataset: full, LoRA or QLoRA, or DPO.", sort_key=16)

app.command(
    "evolute.cli.prove:prove",
    help="""Whether training on the evolved set beats training on its seeds.

    One base, trained on both, with equal examples and with equal tokens. One
    responder answers all instructions anew; held-out lineages are in no arm.
    OUT/proof.html has the differences with paired intervals, what each arm
    cost, and a sentence: it helped, it hurt, or it cannot be told.

    evolute prove tiny --out proof            offline, minutes: a demonstration
    evolute prove mine.yaml --dry-run         what it would ask, train and evaluate

    The same command goes on where it was stopped: nothing is paid for or
    trained twice. The bounds hold for each stage.""",
    sort_key=19,
)

operations = App(sort_key=20, name="operations", help="The ways to rewrite an instruction.", help_format="plaintext")
operations.command("evolute.cli.operations:list_operations", name="list", help="All operations.")
operations.command("evolute.cli.operations:show", name="show", help="One operation's file and prompt.")
operations.command("evolute.cli.operations:try_", name="try", help="Try one on an instruction.")
app.command(operations)

recipe = App(sort_key=21, name="recipe", help="Recipes: those that ship, and yours.", help_format="plaintext")
recipe.command("evolute.cli.recipes:list_recipes", name="list", help="Their names.")
recipe.command("evolute.cli.recipes:show_recipe", name="show", help="One's file, to copy and change.")
recipe.command(
    "evolute.cli.recipes:validate", name="validate", help="Say all that is wrong with a recipe, and what it would do."
)
recipe.command("evolute.cli.recipes:explain", name="explain", help="Say what each field of a recipe means.")
app.command(recipe)

models = App(sort_key=22, name="models", help="Endpoints and the embedded model.", help_format="plaintext")
models.command("evolute.cli.models:check", name="check", help="What an endpoint can do, and how fast it is.")
models.command("evolute.cli.install:install", name="install", help="Install the embedded model.")
app.command(models)

delta = App(
    sort_key=23, name="delta", help="A tuned model as what differs from its base, exactly.", help_format="plaintext"
)
delta.command("evolute.cli.delta:make", name="make", help="Write what a tuned model differs in from its base.")
delta.command("evolute.cli.delta:apply", name="apply", help="Recover the tuned model from base and delta.")
delta.command("evolute.cli.delta:verify", name="verify", help="Check every checksum; write nothing.")
app.command(delta)
app.command("evolute.cli.gguf:gguf", help="Write a Llama-family model as one .gguf file for llama.cpp.", sort_key=24)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error of ours is one message on standard error and a status."""
    try:
        app(_spelled_out(sys.argv[1:] if arguments is None else list(arguments)))
    except EvoluteError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("stopped at once; what was paid for is recorded. Run the same command to go on", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody left to tell
        sys.exit(141)


def _spelled_out(arguments: list[str]) -> list[str]:
    """`evaluate NAME`, where NAME is no benchmark's command, is `evaluate model NAME`."""
    if arguments[:1] == ["evaluate"] and len(arguments) > 1:
        name = arguments[1]
        if not name.startswith("-") and name not in benchmarks:
            if near := get_close_matches(name, list(benchmarks), n=1, cutoff=0.75):
                raise InputError(
                    f"no benchmark {name!r}: did you mean {near[0]}? (If it is a model: evolute evaluate model {name})"
                )
            return ["evaluate", "model", *arguments[1:]]
    return arguments


def program() -> None:
    """Run the command line as a process of its own."""
    status: str | int | None = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    if "pyreqwest" in sys.modules and not isinstance(status, str):
        # Its threads may still be at a call, and abort the interpreter while it takes itself apart: whatever the
        # command came to, now and then (one run in thousands).
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status or 0)
    sys.exit(status)


def fail(message: str, status: int) -> None:
    """Say what is wrong, and leave."""
    from evolute.text import printable

    sys.stderr.write(f"evolute: {printable(message)}\n")
    sys.exit(status)
