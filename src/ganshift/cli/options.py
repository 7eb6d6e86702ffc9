"""How every command reads its options: help in groups with examples below, and a hint for what is misspelt."""

import ast
import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, make_dataclass
from dataclasses import field as dataclass_field
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from ..errors import UserError, nearest

Options = TypeVar("Options")

HELP = ("-h", "--help")
QUIET = "--quiet"
"""Taken by every command: only warnings and errors are said."""
OTHER = "other"
"""Title of the options that no group names."""
METAVARS: dict[Any, str] = {bool: "{True,False}", int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}
WIDEST = 100
"""Columns that running text fills at most."""
DESCRIBE: list[str] = []
"""Arguments, this very list, by which a command is asked for its options instead of being run."""


@dataclass(frozen=True)
class Option:
    """One option as a user types it."""

    names: tuple[str, ...]
    """What it can be given as; nothing if its place tells what it is."""
    choices: tuple[str, ...]
    """What it takes, where that is a list."""
    number: type | None = None
    """int or float, where it takes one."""


class Described(Exception):  # noqa: N818  # an answer, not an error
    """Raised by a command that was asked for its options."""

    def __init__(self, options: Sequence[Option]):
        super().__init__()
        self.options = tuple(options)


def read(options_class: type[Options], command: str, arguments: Sequence[str], examples: str) -> Options:
    """An instance of a dataclass of options, read from the arguments; its field docstrings are the help.

    `examples` are shown below the help, a command a line. A misspelt option or choice raises a `UserError` that names
    the nearest; what else is wrong ends in a `SystemExit` with code 2.
    """
    return options_class(**read_values([options_class], command, arguments, examples))


def read_values(
    sources: Sequence[type],
    command: str,
    arguments: Sequence[str],
    examples: str,
    groups: Mapping[str, Sequence[str]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Values for the fields of several dataclasses, by their names; the first one's docstring is the description.

    `groups` says which fields stand together under which title, and `defaults` goes before those of the fields.
    """
    named: dict[str, Field] = {field.name: field for source in sources for field in fields(source)}
    options = {name: _option(field) for name, field in named.items()}
    if arguments is DESCRIBE:
        raise Described(list(options.values()))
    default = {name: field.default for name, field in named.items()} | dict(defaults or {})
    _refuse_misspelt(command, list(options.values()), arguments)
    _refuse_missing(command, {name: options[name] for name in named if default[name] is MISSING}, arguments)
    import tyro

    colours = not os.environ.get("NO_COLOR") and sys.stdout.isatty() and sys.stderr.isatty()
    tyro._experimental_options["ansi_codes"] = colours
    explained = {name: text for source in sources for name, text in explanations(source).items()}
    titles = _titles(groups, named)
    parts: dict[str, Any] = {}
    for title, names in titles.items():
        members = [
            (name, _annotated(named[name].type, default[name], text), dataclass_field(default=default[name]))
            for name, text in ((name, explained.get(name, "")) for name in names)
        ]
        parts[title] = make_dataclass("Part", members, frozen=True, kw_only=True, namespace={"__doc__": ""})
    whole = make_dataclass(
        "Whole", [(title, Annotated[(part, tyro.conf.OmitArgPrefixes)]) for title, part in parts.items()]
    )
    one = parts[OTHER] if groups is None else whole
    try:
        given = tyro.cli(one, prog=f"ganshift {command}", description=_filled(sources[0].__doc__), args=arguments)
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.write(_below_help(examples))
        raise
    parsed = {OTHER: given} if groups is None else {title: getattr(given, title) for title in parts}
    return {name: getattr(parsed[title], name) for title, names in titles.items() for name in names}


def explanations(options_class: type) -> dict[str, str]:
    """The string below each field of a dataclass, by the field's name, as one line; base classes come first."""
    found = {}
    for base in reversed(options_class.__mro__):
        if not inspect.get_annotations(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        for name, text in pairwise(tree.body if isinstance(tree, ast.ClassDef) else []):
            if isinstance(name, ast.AnnAssign) and isinstance(name.target, ast.Name) and isinstance(text, ast.Expr):
                found[name.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _titles(groups: Mapping[str, Sequence[str]] | None, named: Mapping[str, Field]) -> dict[str, list[str]]:
    """The fields by the title that they stand under."""
    titles = {title: [name for name in names if name in named] for title, names in (groups or {}).items()}
    left = set(named).difference(*titles.values())
    titles[OTHER] = [name for name in named if name in left]
    return {title: names for title, names in titles.items() if names}


def _annotated(kind: Any, default: Any, text: str) -> Any:
    """The type of a field, told in words of the command line: no `{None}|INT`, no "default: None"."""
    import tyro

    plain, *more = _taken_apart(kind)
    how: dict[str, Any] = {"help": text}
    if default in (None, (), ""):
        how["help_behavior_hint"] = "(optional)"
    elif isinstance(default, bool):
        how["help_behavior_hint"] = f"(default: {'on' if default else 'off'})"
    kinds = [one for one in get_args(plain) if one is not NoneType] if NoneType in get_args(plain) else [plain]
    if get_origin(kinds[0]) is Literal:
        how["metavar"] = f"{{{','.join(map(str, get_args(kinds[0])))}}}"
    elif plain is not bool and kinds[0] in METAVARS:
        how["metavar"] = METAVARS[kinds[0]]
    return Annotated[(plain, tyro.conf.arg(**how), *more)]


def _option(field: Field) -> Option:
    import tyro

    plain, *more = _taken_apart(field.type)
    kinds = (plain, *get_args(plain))
    choices = tuple(str(one) for kind in kinds if get_origin(kind) is Literal for one in get_args(kind))
    if bool in get_args(plain):
        choices = ("True", "False")
    if tyro.conf.Positional in more:
        return Option((), choices)
    number = next((kind for kind in kinds if kind in (int, float)), None)
    name = field.name.replace("_", "-")
    opposite = [f"--no-{name}"] if plain is bool and tyro.conf.FlagCreatePairsOff not in more else []
    short = [alias for one in more for alias in getattr(one, "aliases", None) or ()]
    return Option((*short, f"--{name}", *opposite), choices, number)


def _taken_apart(kind: Any) -> tuple[Any, ...]:
    """A type and what it is annotated with."""
    return get_args(kind) if get_origin(kind) is Annotated else (kind,)


def _refuse_misspelt(command: str, known: Sequence[Option], arguments: Sequence[str]) -> None:
    """Raise if there is no such long option, or if an option does not take what it is given; say what is nearest."""
    options = {name: option for option in known for name in option.names}
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        name = name.replace("_", "-")
        if name.startswith("--") and name not in (*options, *HELP) and not name.startswith("--tyro-"):
            hint = nearest(name, options) or f"ganshift {command} --help shows them all"
            raise UserError(f"{command} has no option {name}: {hint}")
        value = value if equals else following
        if name in options and value not in ("", "None") and not value.startswith("--"):
            _refuse_value(name, value, options[name])


def _refuse_missing(command: str, needed: Mapping[str, Option], arguments: Sequence[str]) -> None:
    """Raise if an option that is needed is not there, or, where nothing is given at all, anything that is needed."""
    given = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    if given.isdisjoint(HELP):
        missing = [
            option.names[-1] if option.names else name.upper()
            for name, option in needed.items()
            if given.isdisjoint(option.names) and (option.names or not arguments)
        ]
        if missing:
            raise UserError(f"{command} needs {' and '.join(missing)}: ganshift {command} --help says what each is")


def _refuse_value(name: str, value: str, option: Option) -> None:
    if option.choices and value not in option.choices:
        hint = nearest(value, option.choices) or f"it takes {', '.join(option.choices)}"
        raise UserError(f"{name} does not take {value!r}: {hint}")
    if option.number:
        try:
            option.number(value)
        except ValueError:
            wanted = "a whole number, such as 20000" if option.number is int else "a number, such as 0.5"
            raise UserError(f"{name} takes {wanted}; got {value!r}") from None


def _filled(text: str | None) -> str:
    """Paragraphs in lines that fit; tyro leaves those alone that do not begin with a letter."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    return "\n\n".join(textwrap.fill(part, width, subsequent_indent="  ") for part in paragraphs)


def _below_help(examples: str) -> str:
    lines = "".join(f"  {line}\n" for line in textwrap.dedent(examples).strip().splitlines())
    return f"\nexamples\n{lines}\nevery command takes {QUIET}: only warnings and errors are said\n"
