"""Make text safe to show on a terminal."""

from __future__ import annotations

# C0 but tab and line feed, DEL and C1; the marks that reorder text; the two separators; half a surrogate pair.
_HIDDEN = (
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN}


def printable(text: str) -> str:
    r"""Show what would steer a terminal or reorder its text as an escape (ESC as `\x1b`); the rest is unchanged.

    Tabs and line feeds stay. Lone surrogates, which no terminal can print, are escaped as well.
    """
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()
