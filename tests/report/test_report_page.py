"""The page: complete, self-contained, escaped, the same each time, and right about runs that lack something."""

import base64
import hashlib
import os
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from report_runs import HOSTILE, SCRIPTED, Hashing, evolved, select_by_hand

from evolute import __version__, api
from evolute.errors import InputError
from evolute.ledger import Reader
from evolute.pipeline.reporting import report
from evolute.report.writing import FIGURE_NAMES

SNAPSHOT = Path(__file__).with_name("small_report.html")
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """A page as a browser reads it: elements with their attributes, the text of some, and whether tags are balanced."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.faults = [], {}, [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data
            self.texts["*"] = self.texts.get("*", "") + (data if self.open[-1] not in ("style", "script") else "")

    @property
    def words(self):
        return " ".join(self.texts["*"].split())


@pytest.fixture
def grow(tmp_path):
    return partial(evolved, tmp_path)


@pytest.fixture
def read():
    """Reports on a run, and reads the page."""

    def reported(run, **options):
        html = report(run, encoder=Hashing(), **options).read_text(encoding="utf-8")
        page = Page(html)
        page.html = html
        assert page.faults == [], "tags that do not match"
        assert page.open == []
        return page

    return reported


def test_a_small_report_is_the_one_in_the_snapshot(grow, read):
    html = read(grow(4, evolve__rounds=2)).html
    plain = re.sub(r"(<style>).*?(</style>)|(<script>).*?(</script>)", r"\1\2\3\4", html, flags=re.S)
    plain = plain.replace(f"Evolute {__version__}", "Evolute VERSION")
    plain = re.sub("sha256-[A-Za-z0-9+/=]+", "sha256-…", plain)
    plain = "\n".join(line.strip() for line in plain.splitlines() if line.strip()) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(plain, encoding="utf-8")
    assert plain == SNAPSHOT.read_text(encoding="utf-8"), "UPDATE_SNAPSHOTS=1 writes it anew: look at the difference"


def test_the_same_run_gives_the_same_bytes(grow):
    run = grow(12, evolve__rounds=2)
    files = []
    for _ in range(2):
        report(run, encoder=Hashing())
        figures = sorted((run / "figures").glob("*.[ps][nv]g"))
        files.append([(path.name, path.read_bytes()) for path in (*figures, run / "report.html")])
    assert files[0] == files[1]
    assert {name.rpartition(".")[0] for name, _ in files[0][:-1]} <= FIGURE_NAMES
    assert {name for name, _ in files[0]} >= {"funnel.png", "funnel.svg", "topics.png", "topics.svg", "verbs.svg"}


def test_the_page_loads_nothing(grow, read):
    page = read(grow(12))
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")]
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith("#")
    assert not re.search(r"url\(|@import|@font-face|https?:", page.html)


def test_its_links_lead_somewhere(grow, read):
    page = read(grow(3))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in page.elements if tag == "a"} <= set(ids)


def test_the_policy_allows_its_own_style_and_script_alone(grow, read):
    page = read(grow(2))
    (policy,) = (a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.texts[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
        assert [t for t, _ in page.elements].count(tag) == 1


def test_what_a_model_wrote_is_only_text(grow, read):
    run = grow(8, *HOSTILE, name="<b>run & co", evolve__rounds=2)
    select_by_hand(run)
    page = read(run)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "textarea", "iframe", "b onmouseover"}
    assert "49" not in re.findall(r"(?<=Template )\S+", page.words)
    assert "<script>alert(1)</script>" in page.words, "it is shown as it was written"
    assert "{{ 7 * 7 }}" in page.words
    assert "alert" not in page.texts["script"]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", page.html), (
        "what reorders or hides text is made visible"
    )
    assert r"\u202e" in page.words
    for path in (run / "figures").glob("*.svg"):
        root = ElementTree.fromstring(path.read_bytes())
        assert not [
            part for part in root.iter() if part.tag.rpartition("}")[2] in ("script", "image", "a", "foreignObject")
        ]


def test_it_says_what_is_missing_and_how_to_get_it(grow, read):
    words = read(grow(3, evolve__respond="never")).words
    assert "evolute select RUN --set select.grade.difficulty=true" in words
    assert "No selection has been made" in words
    assert "The recipe asked for no responses" in words
    assert "A map needs at least 30 rows" in words


def test_a_run_without_rounds_is_reported(grow, read):
    page = read(grow(3, evolve__rounds=0))
    assert "Nothing was evolved" in page.words
    assert "3 seed instructions evolved over no rounds into a dataset of 3 rows" in page.words


def test_a_selection_is_shown_with_its_reasons(grow, read):
    run = grow(10)
    gone, rows = select_by_hand(run)
    words = read(run).words
    assert f"{rows - gone} of {rows} rows are selected" in words
    assert "near-duplicate" in words
    assert "GSM8K (1,319)" in words
    assert "Not checked: ARC" in words
    assert "Flagged by the selection: personal-data" in words
    assert "benchmark <b>gsm8k</b>" in words
    assert "made-up-tokenizer" in words
    assert (run / "figures" / "response-tokens.png").is_file()


KEY, MAIL = "AKIA" + "Q7XJ2MB5LD3WNE6R", "petra.lindqvist" + "@skogsbruk-vaermland.se"


@pytest.mark.parametrize("done", ["drop", "flag", "neither"])
def test_what_is_private_is_nowhere_on_the_page_nor_in_the_figures(tmp_path, read, done):
    rows = [{"instruction": f"Explain to a class of {n + 2} how the tides of sea {n} rise."} for n in range(30)]
    rows += [
        {
            "instruction": f"Deploy service {n} with aws_access_key_id = {KEY}, and say what it does.",
            "response": "Done.",
        }
        for n in range(4)
    ]
    rows += [
        {"instruction": f"Whom does order {n} concern?", "response": f"Write to {MAIL} about it. " * 40}
        for n in range(4)
    ]
    seeds, run = tmp_path / "seeds.jsonl", tmp_path / "run"
    seeds.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    api.evolve(str(seeds), out=run, recipe="wizardlm", settings=SCRIPTED | {"evolve.rounds": 2})
    private = ["secret", "personal-data"]
    quality = {f"select.quality.{kind}": private if kind == done else [] for kind in ("drop", "flag")}
    api.select(run, settings=quality | {"select.duplicates.near": None, "select.duplicates.semantic": None})
    page = read(run, sample=20_000)
    with Reader(run) as reader:
        held = [row for row in reader.dataset() if KEY in row.instruction or MAIL in (row.response or "")]
    assert len(held) >= 8
    texts = [page.html, *(path.read_text(encoding="utf-8") for path in (run / "figures").glob("*.svg"))]
    assert not [secret for secret in (KEY, KEY.lower(), KEY[4:], MAIL, MAIL[:15]) for text in texts if secret in text]
    assert all(f"in row {row.id[:11]} (not shown: it holds personal data or a secret)" in texts[0] for row in held)
    assert "lineages have a row with personal data or a secret; none of these is drawn" in page.words
    assert f"{len(held)} rows in which the selection found some are not shown" in page.words


def test_where_nobody_looked_for_personal_data_the_page_says_so(grow, read):
    assert "nobody has looked for them in these rows" in read(grow(3, evolve__rounds=1)).words


def test_a_selection_of_an_earlier_state_is_not_used(grow, read):
    run = grow(4, evolve__rounds=1)
    select_by_hand(run)
    grow(4, "Write one more instruction about rivers and their bridges.", evolve__rounds=1)
    words = read(run).words
    assert "does not fit the dataset any more" in words
    assert "near-duplicate" not in words


def test_figures_of_an_earlier_report_go(grow):
    run = grow(4, evolve__rounds=1)
    select_by_hand(run)
    report(run, encoder=Hashing())
    assert (run / "figures" / "response-tokens.svg").is_file()
    (run / "figures" / "mine.svg").write_text("<svg/>")
    grow(4, "Write one more instruction about rivers and their bridges.", evolve__rounds=1)
    report(run, encoder=Hashing())
    assert not (run / "figures" / "response-tokens.svg").exists()
    assert (run / "figures" / "mine.svg").exists()


def test_numbers_on_the_page_are_the_runs(grow, read):
    run = grow(20)
    with Reader(run) as reader:
        rows = list(reader.dataset())
        kept = sum(1 for row in rows if row.round)
        made = sum(1 for row in reader.candidates() if row.round)
    words = read(run).words
    assert f"into a dataset of {len(rows)} rows" in words
    assert f"Of {made} rewritten instructions, {kept} were kept" in words


def test_an_unfinished_run_says_so(tmp_path, grow, read):
    run = grow(3, evolve__rounds=1)
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(b'{"instruction": "Name the rivers of a country and their bridges."}\n')
    summary = api.evolve(str(tmp_path / "run.jsonl"), out=run, limits=api.Limits(calls=1))
    assert summary.pending == 1
    words = read(run).words
    assert "Not finished. 3 of 4 lineages are complete; it stopped because of:" in words
    assert "pays for no call twice" in words


@pytest.mark.parametrize("sample", [0, 20_001])
def test_a_sample_out_of_range_is_refused(grow, sample):
    run = grow(2, evolve__rounds=0)
    with pytest.raises(InputError, match=r"sample must be from 1 to 20,000"):
        report(run, encoder=Hashing(), sample=sample)
    assert not (run / "report.html").exists()


def test_a_place_that_cannot_be_written_is_named(grow):
    run = grow(2, evolve__rounds=0)
    (run / "figures").write_text("in the way")
    with pytest.raises(InputError, match="figures: cannot be written"):
        report(run, encoder=Hashing())
    assert not (run / "report.html").exists()


def test_no_run_no_report(tmp_path):
    with pytest.raises(InputError, match="is not a run"):
        report(tmp_path)
