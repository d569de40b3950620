"""Text that a log holds, made harmless for a terminal and a line of a log file.

Names, errors and results come from a log that anybody may have written. `plain` is the one place
where they lose what a terminal would obey; the commands, exceptions and logging all use it.
"""

from __future__ import annotations


def plain(text: str) -> str:
    r"""`text` with everything that cannot be printed as an escape.

    That covers control characters, line breaks, marks that turn the direction of writing, and lone
    surrogates.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def plain_lines(text: str) -> str:
    """The same of a text of several lines, such as a traceback: its line breaks stay."""
    return "\n".join(map(plain, text.splitlines()))


def _escape(char: str) -> str:
    """The escape that Python's source has for it."""
    return char.encode("unicode_escape").decode("ascii")
