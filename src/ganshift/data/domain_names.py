"""What the two domains of a translator are called: for people, for `--to`, and in names of folders and files.

`config.json` keeps the names. Weights, score records and keys of JSON say a and b. Models without names, such as those
of 0.1.0, call their domains A and B.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

DomainNames = Mapping[str, str]
"""What domain a and domain b are called, by "a" and "b"."""
UNNAMED: DomainNames = {"a": "A", "b": "B"}
KNOWN: Mapping[str, DomainNames] = {
    "bundled:photo-sketch": {"a": "photo", "b": "sketch"},
    "bundled:emoji-pair": {"a": "flat", "b": "3D"},
    "sketch-photo": {"a": "sketch", "b": "photo"},
}
"""The domains of data sets by what --data says. Of other published sets it is not known which domain is A."""
STORED_NAMES = "names"
"""The key of `config.json`."""
MOST_BYTES = 80
"""Of a name in UTF-8: three names stand in that of one file, which has at most 255."""


def domain_names(a: str, b: str) -> dict[str, str]:
    """Names of domain a and domain b, in composed Unicode; a `UserError` says why one cannot serve."""
    names = {domain: unicodedata.normalize("NFC", name).strip() for domain, name in (("a", a), ("b", b))}
    for domain, name in names.items():
        if (length := len(name.encode(errors="replace"))) > MOST_BYTES:
            raise UserError(f"the name of domain {domain} must have at most {MOST_BYTES} bytes in UTF-8, got {length}")
        if not name.isprintable() or not any(map(str.isalnum, name)):
            raise UserError(
                f"the name of domain {domain} must have a letter or digit and no control character, got {name!r}"
            )
        if in_files(name).casefold() in {"a", "b", "both"} - {domain}:
            raise UserError(f"domain {domain} cannot be called {name!r}: that means something else to --to")
    folders = {folder.casefold() for way in ("ab", "ba") for folder in folders_of(names, *way)}
    if len(folders) < 6:
        raise UserError(
            f"names must differ in letters or digits, and not in case alone, got {names['a']!r} and {names['b']!r}"
        )
    return names


def parse_names(text: str) -> dict[str, str]:
    """The names that --names says: two with a comma between."""
    names = text.split(",")
    if len(names) != 2:
        raise UserError(f"names must be two with a comma between, such as photo,sketch, got {text!r}")
    return domain_names(*names)


def default_names(data: Path | None, a: Path | None, b: Path | None) -> DomainNames:
    """What the places of the images call the domains; A and B where these do not tell them apart."""
    if a is None or b is None:
        return KNOWN.get(str(data), UNNAMED)
    from .containers import CONTAINER  # no NumPy for --help

    try:
        return domain_names(*(CONTAINER.sub("", place.absolute().name) for place in (a, b)))
    except UserError:
        return UNNAMED


def stored_names(config: Mapping[str, Any]) -> DomainNames:
    """The names that a `config.json` has; A and B if it has none, and a `UserError` if it is damaged."""
    found = config.get(STORED_NAMES)
    if found is None:
        return UNNAMED
    try:
        return domain_names(found["a"], found["b"])
    except (KeyError, TypeError):
        raise UserError(f"{STORED_NAMES} in config.json must name a and b, got {str(found)[:80]!r}") from None


def names_to_json(names: DomainNames) -> dict[str, Any]:
    """What `config.json` gets of names; nothing of A and B."""
    return {} if names == UNNAMED else {STORED_NAMES: dict(names)}


def in_files(name: str) -> str:
    """The part of a file's name that stands for a domain: letters, digits, - and _ of its name."""
    return re.sub(r"[^\w-]+", "-", name).strip("-")


def folders_of(names: DomainNames, start: str, to: str) -> tuple[str, str, str]:
    """Folders of images, their translations and the way back: photo, photo2sketch, photo2sketch2photo.

    Without names they are A, A2B and A2B2A, as the published test phase calls them.
    """
    one, other = in_files(names[start]), in_files(names[to])
    return one, f"{one}2{other}", f"{one}2{other}2{one}"


def shared_names(names: Iterable[DomainNames]) -> DomainNames:
    """What all call their domains; A and B where they differ in that, or there are none."""
    found = list(names)
    return found[0] if found and all(each == found[0] for each in found) else UNNAMED


def way_in_words(score: str, names: DomainNames) -> str:
    """A score with the names in place of its way: "KID a-b" becomes "KID photo to sketch"; as it is without names."""
    if names == UNNAMED:
        return score
    return re.sub(r"\b[ab](-[ab])+$", lambda way: " to ".join(names[domain] for domain in way[0].split("-")), score)
