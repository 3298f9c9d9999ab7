"""The shipped encoder: the same vectors however they are asked for, and near what is near."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.encoders.static import StaticEncoder, load_static, shipped
from evolute.encoders.wordpiece import WordPieces
from evolute.errors import InputError

VOCABULARY = ["un", "##aff", "##able", "run", ",", "+", "c", "##s", "烏"]


@pytest.fixture(scope="module")
def encoder():
    return shipped()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("Run, RUNS", ["run", ",", "run", "##s"]),
        ("C++", ["c", "+", "+"]),
        ("rün", ["run"]),  # accents are stripped
        ("烏run", ["烏", "run"]),
        ("unknown run", ["run"]),  # a word that cannot be made is left out whole
        ("un" * 80, []),
        ("\x00\ud800 run", ["run"]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_the_longest_pieces(text, pieces):
    assert [VOCABULARY[piece] for piece in WordPieces(VOCABULARY).of(text)] == pieces


def test_what_is_remembered_is_bounded():
    cutter = WordPieces(VOCABULARY)
    for part in range(3):
        cutter.of(" ".join(f"{n}z{part}" for n in range(60_000)))
    assert len(cutter._kept) < 130_000
    assert cutter.of("run") == [3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=12), st.data())
def test_a_text_has_one_vector_whatever_it_comes_with(texts, data):
    encoder = shipped_once()
    together = encoder.encode(texts)
    order = data.draw(st.permutations(range(len(texts))))
    assert np.array_equal(encoder.encode([texts[row] for row in order]), together[order])
    assert all(np.array_equal(encoder.encode([text])[0], row) for text, row in zip(texts, together, strict=True))
    lengths = np.linalg.norm(together, axis=1)
    assert ((np.abs(lengths - 1) < 1e-6) | (lengths == 0)).all()


def shipped_once(kept=[]):  # noqa: B006 (hypothesis draws many examples; the table is read once)
    if not kept:
        kept.append(shipped())
    return kept[0]


def test_what_means_the_same_is_near_and_what_does_not_is_far(encoder):
    bread, loaf, stocks = encoder.encode(
        ["How do I bake bread at home?", "What is the best way to make a loaf of bread?", "Why did the stocks fall?"]
    )
    assert bread @ loaf > 0.5 > 0.3 > bread @ stocks


FOREIGN = {
    "Korean": ("바다의 조수가 왜 생기는지 아이에게 설명해 주세요.", "두 정수를 더하는 파이썬 함수를 작성하세요."),
    "Russian": ("Объясни ребёнку, почему бывают приливы.", "Напиши функцию, которая складывает два целых числа."),
    "Arabic": ("اشرح لطفل لماذا يحدث المد والجزر في البحر.", "اكتب دالة تجمع عددين صحيحين."),
    "Hindi": ("बच्चे को समझाइए कि समुद्र में ज्वार क्यों आता है।", "दो पूर्णांकों को जोड़ने वाला फ़ंक्शन लिखिए।"),
    "Greek": ("Εξήγησε σε ένα παιδί γιατί υπάρχουν παλίρροιες.", "Γράψε μια συνάρτηση που προσθέτει αριθμούς."),
    "Chinese": ("请向孩子解释大海为什么会有潮汐。", "编写一个将两个整数相加的函数。"),
    "Japanese": ("海の潮の満ち引きがなぜ起こるのか説明してください。", "二つの整数を足す関数を書いてください。"),
}
READ = (
    "Erkläre einem Kind, warum es im Meer Gezeiten gibt.",
    "Écris une fonction qui additionne deux entiers.",
    "Bir arkadaşına doğum günü mektubu yaz.",
    "Explain the word 'кошка' in English to a beginner.",
    "def add(a, b):\n    return a + b",
    "num1 = 10, num2 = 12",
    "x, y = 3, 7",
    "SELECT name, COUNT(*) FROM t GROUP BY name;",
)


@pytest.mark.parametrize("language", FOREIGN)
def test_unrelated_texts_in_a_script_that_it_cannot_read_are_not_alike(encoder, language):
    before = encoder.unread
    first, second = encoder.encode(FOREIGN[language])
    assert first @ second < 0.5
    assert encoder.unread == before + 2


@pytest.mark.parametrize("text", READ)
def test_what_it_can_read_keeps_its_vector(encoder, text):
    before = encoder.unread
    assert encoder.encode([text]).any()
    assert encoder.unread == before


def test_a_language_is_told_from_another_by_its_signs(encoder):
    plain, plus = encoder.encode(["Write a C program that sorts.", "Write a C++ program that sorts."])
    assert plain @ plus < 0.9999


def test_no_words_no_vector(encoder):
    assert not encoder.encode(["", " \n", "\x00"]).any()
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_a_very_long_text_is_read_in_part(encoder):
    assert np.isfinite(encoder.encode(["word " * 300_000, "word"])).all()


def test_it_is_small_enough_to_ship():
    from importlib.resources import files

    folder = files("evolute.encoders") / "data" / "minilm"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 4_000_000
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_folder_of_ones_own(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("run\n##s\n", encoding="utf-8")
    np.save(tmp_path / "vectors.npy", np.array([[3, 4], [0, 9]], dtype=np.int8))
    encoder = load_static(tmp_path)
    assert encoder.name == str(tmp_path)
    assert encoder.encode(["run"]).tolist() == [[np.float32(0.6), np.float32(0.8)]]
    np.save(tmp_path / "vectors.npy", np.flipud(np.load(tmp_path / "vectors.npy")))
    assert load_static(tmp_path).identity != encoder.identity


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no static encoder"):
        load_static(tmp_path)
    (tmp_path / "vocabulary.txt").write_text("run\n", encoding="utf-8")
    (tmp_path / "vectors.npy").write_bytes(b"not numpy's")
    with pytest.raises(InputError, match="no static encoder"):
        load_static(tmp_path)


def test_a_table_that_does_not_fit_its_vocabulary():
    with pytest.raises(InputError, match=r"2 pieces and a table of int8 \(3, 4\)"):
        StaticEncoder("x", ["a", "b"], np.zeros((3, 4), np.int8))
