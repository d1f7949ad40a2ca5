"""Text that a file or a name of one contains, as it may be shown: it sends no commands to the terminal."""

import logging


def printable(value: object, keep: str = "") -> str:
    r"""Escapes control characters.

    Args:
        value: What is shown, as text.
        keep: Characters that stay as they are, such as the line breaks of a message.

    Example:
        >>> printable("a\x1b[31m")
        'a\\x1b[31m'
    """
    shown = str(value)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in shown)


def one_line(value: object) -> str:
    """Returns a text in one line, without control characters."""
    return printable(" ".join(str(value).split()))


class Formatter(logging.Formatter):
    """Formats log lines for a terminal: messages quote what files contain."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, with the traceback if there is one."""
        return printable(super().format(record), keep="\n\t")
