import subprocess
import sys

import pytest
from faults import row
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import MissingExtra
from evolute.records import Message, Reason
from evolute.select.private import private_data
from evolute.select.quality import Quality, quality

pytest.importorskip("detect_secrets", reason="personal data and secrets need the select extra")
PROSE = (
    "The mill was built in two stages. The first one took nine years and used stone from the nearby hills. "
    "The second one was paid for by the bakers, who wanted more flour than the old wheel could grind."
)


def reasons(instruction, response, **more):
    return [hit.reason for hit in quality([row(instruction, response, **more)]).hits]


@pytest.mark.parametrize(
    ("instruction", "response"),
    [
        ("Name three trees.", None),
        ("Name three trees.", "Oak, ash, elm"),
        ("What is 6 times 7?", "42"),
        ("Choose: (A) red (B) blue", "B"),
        # Sorry, unable, cannot: asked for, comforting, quoted, or somebody else's.
        ("How do I console a friend who lost his job?", "Say: I'm so sorry to hear about your job. I am here for you."),
        ("Correct the grammar: me cannot swims", "I can't swim."),
        ("Write a poem about a tired painter.", "I can't create another sky today,\nmy brush has lost its blue"),
        ("Find the mistake in your answer.", "I apologize for the mistake: the bridge was opened in 1932."),
        ('What does "lo siento" mean in English?', 'It means "I am sorry".'),
        # Boilerplate and leaks that are the subject.
        ("Why do chatbots say 'as an AI language model'?", 'Some say "as an AI language model, I" out of caution.'),
        ("What is a good answer to the given prompt?", "One that is true."),
        # What ends without a full stop.
        ("Write a letter to my landlord.", f"Dear Mr Hall,\n\n{PROSE}\n\nBest regards,\nAnn Lee"),
        ("Show me a haiku.", "The old mill at dusk\nflour on the miller's hands\nthe wheel turns and turns"),
        ("Sort these.", "1. apples from the orchard\n2. bread\n3. cheese and a little salt"),
        ("Give the command.", "git push origin main"),
        ("Show code.", "```python\nprint(1)\n```"),
        # Repeats that were asked for, and tables, code and lists that look alike.
        ("Write 'I will not be late' 20 times.", "I will not be late.\n" * 20),
        ("Write a song with a chorus.", "Row, row, row with me\n" * 6 + "The end of the day"),
        ("Make a table.", "| a | b |\n|---|---|\n" + "| yes it is so | no |\n" * 12),
        ("Write HTML.", "<ul>\n" + "    <li>an item of the list</li>\n" * 12 + "</ul>"),
        ("List exercises.", "\n".join(f"{n}. Do {n + 5} squats and rest for {n} minutes" for n in range(1, 9))),
        # Formats that are quoted, spoken of, or there.
        ("What is JSON good for?", "It carries data between programs that know nothing of each other."),
        (
            'Translate to plain words: "Return the answer as JSON, in a table."',
            "Give the answer back with a structure.",
        ),
        ("Summarize this text:\n\nWe asked him to write it in bullet points, and he did.", "A man obeyed."),
        ("Give me three ideas for a gift.", "1. A book\n2. A lamp\n3. A walk"),
        ("Give me three ideas for a gift.", "A book, a lamp, or a walk."),
        ("Describe the mill in fewer than 40 words.", PROSE.partition(". The second")[0] + "."),
        ("Is ice lighter than water? Answer yes or no.", "Yes."),
        ("Write a script for a short play about a mill.", "MILLER: Who is there?\nBAKER: A friend."),
        # Personal data that is nobody's.
        ("Write an email form.", "To: john@example.com, info@bakery.com\nFrom: your.name@gmail.com\nCall 555-0123."),
        ("Show a phone format.", "(555) 123-4567, +1 212 555 0199, 123-456-7890, 1-800-799-7233"),
        (
            "Show a card form.",
            "Card: 4111 1111 1111 1111, IBAN GB82 WEST 1234 5698 7654 32, SSN 123-45-6789 or 078-05-1120",
        ),
        (
            "Set up the client.",
            "key = 'AKIAIOSFODNN7EXAMPLE'\nkey2 = 'sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\nurl = 'http://user:password@localhost:80'",
        ),
        ("How does a key file begin?", "With the line -----BEGIN RSA PRIVATE KEY-----, and then it goes on."),
        ("What is pi?", "3.14159265358979323846, and 2026-11-22 10:15:30 is a time, 192.168.100.100 an address."),
    ],
)
def test_a_sound_row_is_left_alone(instruction, response):
    assert reasons(instruction, response) == []


FOREIGN = [
    (
        "Erkläre in drei Sätzen, wie eine Mühle arbeitet, und nenne ein Beispiel dafür.",
        "Das Wasser treibt ein Rad an, und das Rad dreht den Stein. Der Stein mahlt das Korn, und so entsteht das Mehl,"
        " aus dem die",
    ),
    ("Nenne fünf Gründe, segeln zu lernen, in Stichpunkten.", "Der Wind kostet nichts, und das Meer ist still."),
    (
        "¿Por qué flota un barco en el agua del mar?",
        "Porque desplaza un peso de agua igual a su propio peso, y por eso el agua lo empuja hacia arriba",
    ),
    ("水车是怎样工作的？", "水流推动轮子，轮子带动磨石，磨石把谷物磨成面粉"),
    ("Как работает мельница?", "Вода вращает колесо, колесо вращает жернов, и жернов мелет зерно в муку"),
]


@pytest.mark.parametrize(("instruction", "response"), FOREIGN)
def test_rules_are_silent_on_languages_that_they_cannot_read(instruction, response):
    assert reasons(instruction, response) == []


def test_a_translation_may_change_the_language():
    asked = "Translate into French: The mill was built by the bakers of the town, who wanted more flour."
    assert (
        reasons(asked, "Le moulin a été construit par les boulangers de la ville, qui voulaient plus de farine.") == []
    )
    before = (Message("user", "From now on, answer me in French."), Message("assistant", "D'accord."))
    said = "Le moulin a été construit par les boulangers de la ville, qui voulaient plus de farine que l'ancienne roue."
    assert (
        reasons("Who built the mill that stands behind the town, and what did they want of it?", said, history=before)
        == []
    )
    assert reasons("Who built the mill that stands behind the town, and what did they want of it?", said) == [
        Reason.RESPONSE_LANGUAGE
    ]


def test_the_score_tells_what_is_certain():
    ends = ("In the end they met the", "Nobody knew when it would stop")
    rows = [row("Tell me of the mill.", f"{PROSE} {end}") for end in ends]
    hits = quality(rows)
    assert [(hit.row, hit.score) for hit in hits.hits] == [(0, 1.0), (1, 0.5)]
    assert hits.select(0.6).kept == [1]
    assert hits.select().kept == []


def test_evidence_holds_the_words_found():
    (hit,) = quality([row("Tell me of the mill.", "As a large language model, I like mills.")]).hits
    assert (hit.reason, hit.evidence) == (Reason.RESPONSE_BOILERPLATE, {"words": ["as a large language model"]})
    (hit,) = quality([row("Give me five ideas.", "1. Tea\n2. Jam")]).hits
    assert hit.evidence == {"wanted": "5 items", "words": "give me five ideas", "got": 2}
    (hit,) = quality([row("Where?", "Ask anna.lindqvist71@telia.se or hk.berg@telia.se.", input="")]).hits
    assert hit.evidence == {"kind": "email address", "in": "response", "count": 2, "masked": "a…@t….se"}


def test_no_evidence_shows_a_piece_of_a_row_that_holds_a_secret():
    token = "ghp_" + "t7Rk2Qw9Zx4Lm8Vb3Nc6Hd1Js5Fg0PyAeUiO"
    hits = quality(
        [row("Tell me of the mill.", f"{PROSE} It opens to everybody who knows that the key is {token}")]
    ).hits
    assert {hit.reason for hit in hits} == {Reason.RESPONSE_TRUNCATED, Reason.SECRET}
    assert token[4:] not in str(hits)


def test_what_stands_before_the_instruction_is_searched_too():
    before = (Message("user", "I am anna.lindqvist71@telia.se."), Message("assistant", "Hello."))
    (hit,) = quality([row("Who am I?", "You are Anna.", history=before)]).hits
    assert (hit.reason, hit.evidence["in"]) == (Reason.PERSONAL_DATA, "history")


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=8), st.randoms())
def test_a_row_is_judged_by_itself(texts, order):
    rows = [row(asked, said) for asked, said in texts]
    alone = [[(hit.reason, hit.evidence) for hit in quality([one], languages=False).hits] for one in rows]
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    together = Quality(languages=False)
    for number in shuffled:
        together.add([rows[number]])
    found = together.hits()
    assert found.count == len(rows)
    by_row = [[(hit.reason, hit.evidence) for hit in found.hits if hit.row == place] for place in range(len(rows))]
    assert by_row == [alone[number] for number in shuffled]


@given(st.text(alphabet=" \n.`|0123456789abc-@:/{\"'", max_size=400))
def test_any_text_can_be_measured(text):
    hits = quality([row(text, text)], languages=False)
    assert all(0 < hit.score <= 1 for hit in hits.hits)


def test_long_hostile_texts_take_no_time_to_speak_of():
    """Each would take minutes by a pattern that goes back and forth."""
    pieces = ["a ", "1 ", '"', "a@", "://", "``` \n", "12-", "as of my ", "a. ", "\n1. b", "sorry ", "\\n"]
    for text in [piece * (50_000 // len(piece)) for piece in pieces]:
        measured = quality([row("Say something.", text), row(text, "Something.")], languages=False)
        assert measured.count == 2


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "stdnum", None)
    monkeypatch.delitem(sys.modules, "stdnum.iban", raising=False)
    with pytest.raises(MissingExtra, match=r"evolute\[select\]"):
        private_data()


def test_looking_for_secrets_connects_to_nothing():
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('connected')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "sys.path.insert(0, 'tests/select')\n"
        "from faults import MADE, row\n"
        "from evolute.select.quality import quality\n"
        "hits = quality([fault.spoil(row('Say.', 'So.')) for fault in MADE]).hits\n"
        "print(sum(hit.reason == 'secret' for hit in hits))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.strip() == "5", told.stderr
