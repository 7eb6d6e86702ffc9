"""The one error that is the user's to solve, how to quote others in it, and what a misspelt name may have meant."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something given by the user cannot work; the message is one line: what, the rule, the value, the way out.

    The command line prints the message alone and exits with code 2; every other exception is a defect of ours.
    """


def printable(text: str, keep: str = "") -> str:
    """The text with everything that is no visible character written out, but for what to keep.

    Names of files and contents of foreign files get into messages; as they are they could break lines, and say
    anything to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in text)


def capitalised(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def nearest(word: str, words: Iterable[str], kind: str = "", cutoff: float = 0.6) -> str:
    """The question whether the word most like it was meant, after its kind; nothing if none is as alike as `cutoff`.

    Likeness is difflib's ratio, from 0 to 1.
    """
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return f"did you mean {kind}{close[0]}?" if close else ""


def choose(name: object, choices: Iterable[str], what: str) -> str:
    """The name, if it is one of the choices; else a `UserError` that says so, with the nearest of them or all."""
    known = list(choices)
    if not isinstance(name, str) or name not in known:
        hint = nearest(str(name), known) or f"there are {', '.join(known) or 'none'}"
        raise UserError(f"there is no {what} {name!r}; {hint}")
    return name


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line; its name if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
