"""How a command is read: tyro parses, explains and completes functions, whose parameters are the options."""

import functools
import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

import tyro
from tyro.conf import arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

from ..training.distributed import is_first

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")
Value = TypeVar("Value")

OPTIONAL = arg(help_behavior_hint="(optional)")
"""Said where tyro would say "(default: None)"."""
Maybe = Annotated[Value | None, OPTIONAL]
"""What may be left out."""
Device = Annotated[
    str, arg(help="Where to compute: auto (an accelerator if there is one), cpu, cuda, cuda:1, npu, mps.")
]
Json = Annotated[bool, arg(help="Write JSON to standard output instead of tables.")]
Out = Annotated[Path, arg(aliases=["-o"])]
MARKS = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName)
"""How tyro reads the function of a command: a bool is a flag that turns something on, and None is left out."""
SPELLED = ConstructorRegistry()
"""How values are spelled, where that is not as tyro has it."""
NUMBERS = {int: "a whole number such as 20000", float: "a number such as 0.5"}
"""What an error says was expected."""
WIDEST = 100
"""Columns that running text fills at most."""


@SPELLED.primitive_rule
def _or_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | UnsupportedTypeAnnotationError | None:
    """What may be None is explained as what else it may be; where `MARKS` allow it, None undoes a preset's value."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if NoneType not in get_args(info.type) or len(kinds) > 1:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    given, of_kind, text_of = spec.instance_from_str, spec.is_instance, spec.str_from_instance
    undoes = tyro.conf.DisallowNone not in info.markers
    return replace(
        spec,
        instance_from_str=lambda words: None if undoes and words == ["None"] else given(words),
        is_instance=lambda value: value is None or of_kind(value),
        str_from_instance=lambda value: ["None"] if value is None else text_of(value),
        choices=(*spec.choices, "None") if undoes and spec.choices else spec.choices,
    )


@SPELLED.primitive_rule
def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Numbers as tyro reads them, with errors in plain words instead of Python's."""
    kind: Any = info.type
    if kind not in NUMBERS:
        return None

    def read_number(words: list[str]) -> int | float:
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"{words[0]!r} is not {NUMBERS[kind]}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=read_number,
        is_instance=lambda value: isinstance(value, (int, kind)) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


@SPELLED.primitive_rule
def _path(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """Names of files as tyro reads them, but for an empty one, such as "$UNSET" in a shell: the current folder."""
    if info.type is not Path:
        return None

    def read_path(words: list[str]) -> Path:
        if not words[0]:
            raise ValueError("it is empty: give a name, or . for the current folder")
        return Path(words[0])

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=read_path,
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )


def command(function: Function) -> Function:
    """Let tyro read a function as a command, with its docstring as the help."""
    # tyro leaves line breaks in the description of a parameter, and a shell that completes takes them for more words.
    function.__doc__ = re.sub(r"\n {8}(?=\S)", " ", inspect.cleandoc(function.__doc__ or ""))
    return tyro.conf.configure(*MARKS)(function)


def run(function: Callable[..., int], name: str, arguments: Sequence[str]) -> int:
    """Call the function of a command as the arguments say."""

    @functools.wraps(function)
    def later(*values: Any, **options: Any) -> Callable[[], int]:
        return functools.partial(function, *values, **options)

    about, _, rest = (function.__doc__ or "").partition("\nArgs:\n")
    return read(later, name, arguments, about, rest.partition("\nExamples:\n")[2])()


def read(options: Callable[..., Result], name: str, arguments: Sequence[str], about: str, examples: str) -> Result:
    """What a function or a class gives, called as the arguments of the command `name` say.

    Asked for help, it shows that, with the examples below, and raises a `SystemExit` of code 0; of code 2 when it has
    said what is misspelt, missing or of the wrong type.
    """
    wanted = not os.environ.get("NO_COLOR") and sys.stdout.isatty() and sys.stderr.isatty()
    tyro._experimental_options["ansi_codes"] = wanted
    width = min(shutil.get_terminal_size().columns, WIDEST)
    # Lines that do not begin with a letter are those that tyro leaves as they are.
    lines = [textwrap.fill(part, width, subsequent_indent="  ") for part in inspect.cleandoc(about).split("\n\n")]
    try:
        return tyro.cli(
            options,
            prog=f"ganshift {name}",
            description="\n\n".join(lines),
            args=arguments,
            console_outputs=is_first(),
            registry=SPELLED,
        )
    except SystemExit as stop:
        if not stop.code:
            shown = textwrap.indent(inspect.cleandoc(examples), "  ")
            sys.stdout.write(f"\nexamples\n{shown}\n\nwith --quiet every command prints only warnings and errors\n")
        raise
