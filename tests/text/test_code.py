"""Code inside text: fences of every kind, and a parser that nothing can break."""

import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.text.code import LONGEST, Block, fenced_blocks, functions, looks_like_python, syntax_error


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("no fence", []),
        ("```python\nx = 1\n```", [Block("python", "x = 1", True)]),
        ("say:\r\n```Python\r\nx = 1\r\n\r\ny = 2\r\n```\r\ndone", [Block("python", "x = 1\n\ny = 2", True)]),
        ("~~~\na\n```\nb\n~~~", [Block("", "a\n```\nb", True)]),
        ("````md\n```python\nx\n```\n````", [Block("md", "```python\nx\n```", True)]),
        ("```\na\n`````\nb", [Block("", "a", True)]),
        ("```py\nx = 1", [Block("py", "x = 1", False)]),
        ("1. so\n   ```python\n   if x:\n       y\n   ```\n", [Block("python", "if x:\n    y", True)]),
        ("   ```\n a\n   b\n   ```", [Block("", "a\nb", True)]),
        ("```a`b`\nx", []),
        ("``` python\nx\n```  ", [Block("python", "x", True)]),
        ('```{.python title="a"}\nx\n```', [Block("python", "x", True)]),
        ("```python,ignore\nx\n```\n```\ny", [Block("python", "x", True), Block("", "y", False)]),
        ("```\n```", [Block("", "", True)]),
        ("```python\na\n```python\nb\n```", [Block("python", "a\n```python\nb", True)]),
    ],
)  # fmt: skip
def test_fences_are_read_as_markdown_does(text, blocks):
    assert fenced_blocks(text) == blocks


@pytest.mark.parametrize("code", ["", "x = 1", "def f():\n\treturn 1", "print('\\d')", "assert (1, 'a')"])
def test_a_module_has_no_error_and_no_warning(code):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert syntax_error(code) is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\ny = = 2", "line 2: invalid syntax"),
        ("return 1", "line 1: 'return' outside function"),
        ("  x = 1", "line 1: unexpected indent"),
        ("x = 1\0", "null bytes"),
        ("x = '\ud800'", "surrogates"),
        ("(" * 5000, "nested"),
        ("-" * 100_000 + "1", "nested too deep"),
        ("x" + ".a" * 100_000, "nested too deep"),
        ("x = 1\n" * LONGEST, "longer than"),
        ("print 'hello'", "line 1: Missing parentheses"),
    ],
)
def test_an_error_is_said_and_never_raised(code, said):
    assert said in (syntax_error(code) or "")


def test_functions_are_those_of_the_top_level():
    assert functions("def a():\n  def b(): pass\nasync def c(): pass\nclass D:\n  def e(self): pass") == ("a", "c")
    assert functions("def a(:") == ()


@pytest.mark.parametrize(
    ("code", "python"),
    [
        ("x = 1", True),
        ("print('hi')", True),
        ("def f(x):\n    return (", True),
        ("from a import b\n)", True),
        ("Sure", False),
        ("Here is the code you asked for.", False),
        ("function f(x) { return 1; }", False),
        ("class A {\n  int x;\n};", False),
        ("def f(x)\n  x + 1\nend", False),
        ("#include <stdio.h>\nint main() { return 0; }", False),
    ],
)
def test_python_is_told_from_prose_and_other_languages(code, python):
    assert looks_like_python(code) is python


@given(st.text(alphabet="`~ \tpy\r\nx=1(:", max_size=60))
def test_every_text_is_read(text):
    for block in fenced_blocks(text):
        assert "\r\n" not in block.code
        assert (syntax_error(block.code) is None) or isinstance(syntax_error(block.code), str)
        looks_like_python(block.code)


@pytest.mark.parametrize("piece", ["```\n", "`", "~~~a\n", " ", "    ```\n", "def f(", "class a", "if a"])
def test_hostile_text_takes_linear_time(piece):
    text = piece * (LONGEST // len(piece))
    began = time.process_time()
    fenced_blocks(text)
    looks_like_python(text)
    assert time.process_time() - began < 5
