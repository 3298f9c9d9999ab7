"""Which programming languages a task speaks of: by name, by the tags of its fences, by the shape of its code."""

from __future__ import annotations

import re
from functools import lru_cache

from evolute.text.code import fenced_blocks, looks_like_python

# What a tag or a name stands for. HTML, CSS, JSON and the like are left out: they go with any language.
_TAGS = {
    "python": "python", "python3": "python", "py": "python", "java": "java", "javascript": "javascript",
    "js": "javascript", "jsx": "javascript", "node": "javascript", "typescript": "typescript", "ts": "typescript",
    "tsx": "typescript", "c": "c", "c++": "c++", "cpp": "c++", "cxx": "c++", "c#": "c#", "csharp": "c#", "cs": "c#",
    "go": "go", "golang": "go", "rust": "rust", "rs": "rust", "ruby": "ruby", "rb": "ruby", "php": "php",
    "swift": "swift", "kotlin": "kotlin", "kt": "kotlin", "scala": "scala", "perl": "perl", "r": "r",
    "matlab": "matlab", "sql": "sql", "mysql": "sql", "sqlite": "sql", "postgresql": "sql", "bash": "shell",
    "sh": "shell", "shell": "shell", "zsh": "shell", "powershell": "powershell", "haskell": "haskell", "hs": "haskell",
    "lua": "lua", "dart": "dart", "julia": "julia", "elixir": "elixir", "clojure": "clojure", "fortran": "fortran",
    "cobol": "cobol", "vb": "visual basic", "lisp": "lisp", "ocaml": "ocaml",
}  # fmt: skip
# Names that are no other word, in any case; then those which are, only as code is spoken of with them.
_NAMES = {
    "python": "python", "java": "java", "javascript": "javascript", "node.js": "javascript", "nodejs": "javascript",
    "jquery": "javascript", "typescript": "typescript", "c++": "c++", "cpp": "c++", "c#": "c#", "golang": "go",
    "php": "php", "kotlin": "kotlin", "matlab": "matlab", "sql": "sql", "mysql": "sql", "postgresql": "sql",
    "sqlite": "sql", "bash": "shell", "powershell": "powershell", "haskell": "haskell", "fortran": "fortran",
    "cobol": "cobol", "visual basic": "visual basic", "vb.net": "visual basic", "ocaml": "ocaml", "pandas": "python",
    "numpy": "python", "django": "python", "flask": "python",
}  # fmt: skip
_AMBIGUOUS = {
    "C": "c", "Go": "go", "R": "r", "Rust": "rust", "Ruby": "ruby", "Swift": "swift", "Scala": "scala", "Perl": "perl",
    "Lua": "lua", "Dart": "dart", "Julia": "julia", "Elixir": "elixir", "Clojure": "clojure", "Lisp": "lisp",
    "Shell": "shell", "shell": "shell",
}  # fmt: skip
_CALLED = re.compile(
    r"(?<![\w.+#-])(" + "|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True))) + r")3?(?![\w+#]|-\w)",
    re.IGNORECASE,
)
_WORDS = "|".join(map(re.escape, _AMBIGUOUS))
_SPOKEN = re.compile(
    rf"\b(?i:in|use|using|with|to|into|from|en|em)\s+(?:the\s+)?({_WORDS})(?![\w+#'’-]|\s+(?:and|to)\s+(?:its|the|a)\b)"
    rf"(?:\s*[.,;:?!)]|\s*$|\s+(?:that|which|to|for|and|program\w*|code|language|script|function)\b)"
    rf"|\b({_WORDS})\s+(?:programs?|programming|functions?|code|scripts?|class|struct|method|language|snippets?|macro|module)\b",
    re.MULTILINE,
)
# In this order: what is surer comes first.
_SHAPES = (
    ("c++", re.compile(r"#include\s*<(?:iostream|vector|string|map|algorithm)>|\bstd::|\bcout\s*<<")),
    ("c", re.compile(r"#include\s*<\w+\.h>")),
    ("c#", re.compile(r"\busing\s+System\b|\bConsole\.(?:Write|Read)|\bnamespace\s+[\w.]+\s*\{|\{\s*get;")),
    ("java", re.compile(r"\bpublic\s+(?:static\s+void\s+main|class\s+\w+)|\bSystem\.out\.print|\bimport\s+java\.")),
    ("php", re.compile(r"<\?php|^\s*\$\w+\s*=[^=]|\bfunction\s*\w*\(\s*\$", re.MULTILINE)),
    ("swift", re.compile(r"\bfunc\s+\w+\([^)\n]{0,200}\w\s*:|\bfunc\s+\w+[^{\n]{0,200}->")),
    ("go", re.compile(r"^package\s+\w+\s*$|\bfunc\s+\w+\([^)\n]{0,200}\)[^{\n]{0,200}\{|\bfmt\.Print", re.MULTILINE)),
    ("rust", re.compile(r"\bfn\s+\w+[^{\n]{0,200}\{|\blet\s+mut\s|\bprintln!\(")),
    ("javascript", re.compile(r"\bconsole\.log\(|\bfunction\s*\w*\([^)\n]{0,200}\)\s*\{|=>\s*[{(]|\bconst\s+\w+\s*=")),
    ("ruby", re.compile(r"^\s*def\s+\w+[^:\n]*\n(?:.*\n){0,40}?\s*end\b|\bputs\s|\.each\s+do\s*\|", re.MULTILINE)),
    ("sql", re.compile(r"\bSELECT\b[^;]{1,200}?\bFROM\b|\bCREATE\s+TABLE\b|\bINSERT\s+INTO\b")),
    ("shell", re.compile(r"^#!\s*/(?:usr/)?bin/(?:env\s+)?(?:ba|z)?sh", re.MULTILINE)),
)
# One is written where the other is meant.
_KIN = {"c": {"c++"}, "c++": {"c"}, "javascript": {"typescript"}, "java": {"c#"}}
LONGEST = 20_000
"""Characters of a text that are looked at."""


@lru_cache(maxsize=64)  # a parent is asked about again for each of its children
def languages(text: str) -> frozenset[str]:
    """The programming languages that a text names; where it names none, those that its code is in; mostly one.

    `c` stands for `c++` too where only the code's shape says so, and the other way round.
    """
    text = text[:LONGEST]
    named = {_NAMES[match[1].lower()] for match in _CALLED.finditer(text)}
    named |= {_AMBIGUOUS[match[1] or match[2]] for match in _SPOKEN.finditer(text)}
    blocks = fenced_blocks(text)
    tagged = {_TAGS[block.language] for block in blocks if block.language in _TAGS}
    if named or tagged:
        return frozenset(named | tagged)
    return frozenset(_shaped("\n".join(block.code for block in blocks) if blocks else text))


def _shaped(code: str) -> set[str]:
    for name, shape in _SHAPES:
        if shape.search(code):
            return {name, *_KIN.get(name, ())}
    return {"python"} if _some_python(code) else set()


def _some_python(code: str) -> bool:
    """Whether a text, which may begin with prose, has lines that only Python has."""
    return "\n" in code and looks_like_python(code)
