"""Real rows of several kinds, and faults planted in them: our own wording, so that what is planted is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evolute.records import Message, Reason, Row

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SEED_ROWS = "seeds/self_instruct_seed_tasks.jsonl"
REFERENCES = "mt_bench/reference_answer/gpt-4.jsonl"
MODELS = ("gpt-4", "claude-v1", "gpt-3.5-turbo", "vicuna-33b-v1.3")
VICUNA = ("answer_gpt35.jsonl", "answer_bard.jsonl", "answer_vicuna-13b.jsonl")


def row(
    instruction: str, response: str | None, *, input: str = "", history: tuple[Message, ...] = (), source: str = ""
) -> Row:
    """A row from elsewhere: no lineage, only what was asked and answered."""
    return Row("s1-0", "", "s1-0", 0, "", instruction, input, response, "", history, "", "", "", source, 0)


def _lines(path: str) -> Iterator[dict]:
    with (DATA / path).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def seed_rows() -> Iterator[Row]:
    """The Self-Instruct seeds with the answer of their first instance."""
    for task in _lines(SEED_ROWS):
        instance = task["instances"][0]
        yield row(task["instruction"], instance["output"], input=instance["input"], source="self-instruct")


def mt_bench_rows(path: str) -> Iterator[Row]:
    """Both turns of MT-Bench as a file of answers has them."""
    questions = {question["question_id"]: question["turns"] for question in _lines("mt_bench/question.jsonl")}
    for answers in _lines(path):
        asked, said = questions[answers["question_id"]], answers["choices"][0]["turns"]
        yield row(asked[0], said[0], source=path)
        before = (Message("user", asked[0]), Message("assistant", said[0]))
        yield row(asked[1], said[1], history=before, source=path)


def vicuna_rows(name: str) -> Iterator[Row]:
    """The 80 Vicuna questions as one model answered them."""
    questions = {question["question_id"]: question["text"] for question in _lines("vicuna/question.jsonl")}
    for answer in _lines(f"vicuna/answer/{name}"):
        yield row(questions[answer["question_id"]], answer["text"], source=name)


def clean_rows() -> list[Row]:
    """Rows that people and good models wrote, in a fixed order."""
    rows = [*seed_rows(), *mt_bench_rows(REFERENCES)]
    for model in MODELS:
        rows += mt_bench_rows(f"mt_bench/model_answer/{model}.jsonl")
    for name in VICUNA:
        rows += vicuna_rows(name)
    return rows


@dataclass(frozen=True)
class Fault:
    """A way to spoil a real row, and the reason that must be found on it."""

    name: str
    reason: Reason
    spoil: Callable[[Row], Row]


def answered(text: str) -> Callable[[Row], Row]:
    """Another answer in place of the row's own."""
    return lambda real: replace(real, response=text)


def added(text: str) -> Callable[[Row], Row]:
    """Something more at the end of the row's own answer."""
    return lambda real: replace(real, response=f"{real.response}{text}")


def asked(instruction: str, response: str) -> Callable[[Row], Row]:
    """Another exchange, which stands among the real ones."""
    return lambda real: replace(real, instruction=instruction, input="", history=(), response=response)


def told(text: str) -> Callable[[Row], Row]:
    """Words before the row's own instruction."""
    return lambda real: replace(real, instruction=f"{text}{real.instruction}")


_PROSE = (
    "The harbour was built in two stages. The first one took nine years and used stone from the nearby hills. "
    "The second one was paid for by the merchants, who wanted deeper water for their ships. "
)
_FOREIGN = (
    "Il faut d'abord choisir une heure qui convient à tout le monde, puis préparer une liste courte des sujets. "
    "Ensuite, chacun reçoit la liste la veille, afin que personne ne soit surpris pendant la réunion."
)
_KEY_ID = "AKIA" + "Q7ZK3MVN8TRWB2HL"
_GITHUB = "ghp_" + "t7Rk2Qw9Zx4Lm8Vb3Nc6Hd1Js5Fg0PyAeUiO"
_STRIPE = "sk_" + "live_" + "9fKq27ZrTwX4mBvN8cLdH3sJ"
_PRIVATE_KEY = (
    "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA7bq9Zk3Xv0uJ5rT8wLmN2cQy\n"
    "h4Kd9sPfGx1VtRzB6oWnEiUa0MjYqHlC3Xv0uJ5r\n"
)
MADE = [
    Fault("refusal with sorry", Reason.RESPONSE_REFUSAL, answered("I'm sorry, but that is not something I can do.")),
    Fault("refusal without sorry", Reason.RESPONSE_REFUSAL, answered("I can't help with that.")),
    Fault("refusal: unable", Reason.RESPONSE_REFUSAL, answered("Unfortunately, I am unable to open links or files.")),
    Fault("refusal: decline", Reason.RESPONSE_REFUSAL, answered("I must respectfully decline this request.")),
    Fault(
        "refusal: access", Reason.RESPONSE_REFUSAL, answered("I don't have access to the internet, so I don't know.")
    ),
    Fault("no answer", Reason.RESPONSE_EMPTY, answered(" \n")),
    Fault("no content", Reason.RESPONSE_CONTENT_FREE, answered("... and so on.\n")),
    Fault(
        "open fence", Reason.RESPONSE_TRUNCATED, answered("This is how:\n\n```python\nfor boat in harbour:\n    boat.")
    ),
    Fault("ends with and the", Reason.RESPONSE_TRUNCATED, answered(_PROSE + "In the end they met the bishop and the")),
    Fault(
        "ends with a comma", Reason.RESPONSE_TRUNCATED, answered(_PROSE + "When the last ship of that year came in,")
    ),
    Fault(
        "ends in a word",
        Reason.RESPONSE_TRUNCATED,
        answered(_PROSE + "Since then no storm has ever broken the outer w"),
    ),
    Fault("sentence loop", Reason.REPETITION, added("\n" + "The answer is the same as it was before. " * 9)),
    Fault("line loop", Reason.REPETITION, answered("\n".join(f"{n}. Look at the map once more" for n in range(1, 40)))),
    Fault("phrase loop", Reason.REPETITION, answered("They walked on " + "and on along the wall " * 30)),
    Fault("two line loop", Reason.REPETITION, answered("Ask the first guard.\nAsk the second guard instead.\n" * 12)),
    Fault("instruction loop", Reason.REPETITION, told("Make sure to give every reason you have. " * 12)),
    Fault("machine", Reason.RESPONSE_BOILERPLATE, answered(f"As an AI language model, I do not have ships. {_PROSE}")),
    Fault("cutoff", Reason.RESPONSE_BOILERPLATE, answered(f"{_PROSE}As of my last update, the harbour is still open.")),
    Fault("maker", Reason.RESPONSE_BOILERPLATE, answered(f"{_PROSE}I was trained by OpenAI and cannot see it myself.")),
    Fault("leaked marker", Reason.SCAFFOLD_LEAK, told("#Given Prompt#:\n")),
    Fault("leaked words", Reason.SCAFFOLD_LEAK, told("Here is the rewritten prompt with one constraint more: ")),
    Fault("leak in the answer", Reason.SCAFFOLD_LEAK, added("\n\n#Rewritten Prompt#: say it again, shorter")),
    Fault(
        "other language",
        Reason.RESPONSE_LANGUAGE,
        asked("How can a small team prepare a meeting so that the time of its members is not wasted?", _FOREIGN),
    ),
    Fault(
        "other script",
        Reason.RESPONSE_LANGUAGE,
        asked(
            "How should the harbour be protected from winter storms?",
            "Нужно построить новый мол и углубить дно у входа в гавань.",
        ),
    ),
    Fault(
        "no JSON",
        Reason.FORMAT_MISSING,
        asked(
            "List the three ports with their depth, and return the answer as JSON.",
            "Northport is 9 m, Eastport 7 m, and Oldport 4 m deep.",
        ),
    ),
    Fault(
        "no table",
        Reason.FORMAT_MISSING,
        asked(
            "Compare trains and ferries by price and speed. Present your comparison in a table.",
            "Trains are faster than ferries, and ferries are cheaper than trains on most days.",
        ),
    ),
    Fault(
        "no list",
        Reason.FORMAT_MISSING,
        asked(
            "Summarize the history of the lighthouse in bullet points.",
            "It was built by monks, burned down twice, and is a museum today.",
        ),
    ),
    Fault(
        "no code",
        Reason.FORMAT_MISSING,
        asked(
            "Write a Python function that returns the largest number of a list.",
            "You look at every number in turn and remember the largest that you have seen so far.",
        ),
    ),
    Fault(
        "too few items",
        Reason.FORMAT_MISSING,
        asked(
            "Give me five reasons to learn how to sail.",
            "1. The wind is free.\n2. The sea is quiet.\n3. Boats are beautiful.",
        ),
    ),
    Fault("too many words", Reason.FORMAT_MISSING, asked("Describe the harbour in fewer than 20 words.", _PROSE)),
    Fault(
        "neither yes nor no",
        Reason.FORMAT_MISSING,
        asked(
            "Is the tide higher at full moon? Answer with yes or no.",
            "The moon and the sun pull at the water together then.",
        ),
    ),
    Fault("email", Reason.PERSONAL_DATA, added(" Write to marta.kowalczyk84@wp.pl for more.")),
    Fault("telephone", Reason.PERSONAL_DATA, added(" Her number is +49 30 26983417 in the evening.")),
    Fault("US telephone", Reason.PERSONAL_DATA, added(" Call him at (212) 736-3192 after six.")),
    Fault("card", Reason.PERSONAL_DATA, added(" She paid by card, 4929 1780 3365 2417, last week.")),
    Fault("IBAN", Reason.PERSONAL_DATA, told("Send it to DE44 5001 0517 5407 3249 31. ")),
    Fault("social security", Reason.PERSONAL_DATA, told("My social security number is 536-22-8726. ")),
    Fault("cloud key", Reason.SECRET, added(f"\naws_access_key_id = {_KEY_ID}")),
    Fault("code host token", Reason.SECRET, told(f"Why does git refuse {_GITHUB} here? ")),
    Fault("payment key", Reason.SECRET, added(f"\nstripe.api_key = '{_STRIPE}'")),
    Fault("private key", Reason.SECRET, added(f"\n{_PRIVATE_KEY}")),
    Fault(
        "password in an address",
        Reason.SECRET,
        added("\nconnect to postgres://anton:Vx93kQzLr7@db.harbourline.net/boats"),
    ),
]
SECRETS = (
    _KEY_ID,
    _GITHUB,
    _STRIPE,
    "Vx93kQzLr7",
    "marta.kowalczyk84",
    "26983417",
    "7363192",
    "3365 2417",
    "5407 3249",
    "22-8726",
)
"""What no evidence may show."""


def planted(real: Sequence[Row], faults: Sequence[Fault] = MADE, each: int = 3) -> list[tuple[Row, Fault]]:
    """Every fault in `each` of the real rows, spread over them."""
    step = max(1, len(real) // (each * len(faults)))
    hosts = iter(real[::step] * 2)
    return [(fault.spoil(host), fault) for fault in faults for host in (next(hosts) for _ in range(each))]
