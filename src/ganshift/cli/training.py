"""What trains: the command of each method, and `ganshift demo`."""

from collections.abc import Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import docstring_parser
import tyro

from ..methods.method import Method
from ..training.config import BUDGET, BUDGET_FIELDS, MACHINE, WATCHING
from ..training.distributed import is_first
from . import HELP, HELP_ALL
from .options import OPTIONAL, command, read

if TYPE_CHECKING:
    from ..training.trainer import Outcome


def train(method: Method, arguments: Sequence[str]) -> int:
    """Run `ganshift METHOD`."""
    beginning = _beginning(method, arguments)
    options, about = run_options(method, *beginning), method.config.__doc__ or ""
    if set(HELP) & set(arguments):
        whole = HELP_ALL in arguments or "main" not in method.help.groups  # a method may have no main ones
        shown = options if whole else run_options(method, *beginning, main_alone=True)
        more = "" if whole else f"\nall options: ganshift {method.name} {HELP_ALL}\n"
        read(shown, method.name, ["--help"], about, method.help.examples + more)
    given = read(options, method.name, arguments, about, method.help.examples)
    values = {name: value for group in vars(given).values() for name, value in vars(group).items()}
    dry_run = values.pop("dry_run")
    del values["preset"]  # whose values are the defaults of the others
    config = method.config(**values)
    from ..training.log import loading, say, show_json

    if dry_run:
        show_json(config.to_json())
        say("Next: the same command without --dry-run")
        return 0
    with loading():
        method.trainer()
    return _finish(method.train(config), method.next_step(config.out))


@command
def demo(*, out: Path = Path("runs/demo"), quick: bool = False, seed: int = 0) -> int:
    """Train both methods on bundled images in minutes, and write one page that shows what they learned.

    The same command continues after an interruption.

    Args:
        out: Folder for three runs and report.html.
        quick: A minute or so instead of several. The page shows everything, but the runs learn little.
        seed: Seed of all runs.

    Examples:
        ganshift demo
        ganshift demo --quick --out runs/look
    """
    from ..training.log import loading

    with loading():
        from ..tools.demo import run_demo

    return _finish(run_demo(out, quick, seed), f"open {out}/report.html in a browser")


def run_options(method: Method, preset: str, budget_given: bool = False, main_alone: bool = False) -> type:
    """All options of `ganshift METHOD` as a dataclass, with a dataclass in it for each group of the method's help.

    They are the method's settings, which `preset` overrides, `--preset` and `--dry-run`. A budget on the command line
    replaces the preset's, whichever of the three ways it is given in. `main_alone` leaves out all groups but the first.
    """
    texts = explanations(method.config) | {"preset": method.help.presets}
    texts["dry_run"] = "Print the resolved settings and stop."
    kinds: dict[str, Any] = get_type_hints(method.config)  # without the ranges, which the settings check themselves
    kinds |= {"preset": Literal[tuple(method.presets)], "dry_run": tyro.conf.FlagCreatePairsOff[bool]}
    overrides = {"preset": preset, "dry_run": False, **method.presets[preset]}
    values = {setting.name: setting.default for setting in fields(method.config)}
    values |= {name: value for name, value in overrides.items() if not (budget_given and name in BUDGET_FIELDS)}

    def option(name: str) -> tuple[str, Any, Any]:
        how = [tyro.conf.arg(help=texts.get(name, ""))]
        if values[name] in (None, ""):
            how.append(OPTIONAL)
        return name, Annotated[(kinds[name], *how)], field(default=values[name])

    groups = {"main": ("preset", "out", "dry_run"), "budget": BUDGET, **method.help.groups}
    groups |= {"training": groups.get("training", ()), "watching": WATCHING, "machine": MACHINE}
    named = {name for names in groups.values() for name in names}
    groups["training"] = [*groups["training"], *(name for name in kinds if name not in named)]
    main = groups.pop("main")
    others = {} if main_alone else {title: [name for name in of if name not in main] for title, of in groups.items()}
    parts = []
    for title, names in {"main": main, **others}.items():
        part = make_dataclass(title, [option(name) for name in names], kw_only=True, namespace={"__doc__": ""})
        parts.append((title, Annotated[(part, tyro.conf.OmitArgPrefixes)]))
    return make_dataclass("Options", parts)


def explanations(settings: type) -> dict[str, str]:
    """The string below each field of a dataclass, by the field's name, as one line; base classes come first."""
    bases = [base for base in reversed(settings.__mro__) if is_dataclass(base)]
    found = [setting for base in bases for setting in docstring_parser.parse_from_object(base).params]
    return {setting.arg_name: " ".join((setting.description or "").split()) for setting in found}


def _beginning(method: Method, arguments: Sequence[str]) -> tuple[str, bool]:
    """The preset asked for, and whether a budget is among the options; both must be known before all are parsed."""
    budgets = [(name, str | None, None) for name in BUDGET_FIELDS]
    options: type[Any] = make_dataclass("Beginning", [("preset", str, method.default_preset), *budgets])
    given, _ = tyro.cli(options, args=arguments, add_help=False, return_unknown_args=True, console_outputs=is_first())
    preset = (
        given.preset if given.preset in method.presets else method.default_preset
    )  # a misspelt one is refused later
    return preset, any(getattr(given, name) is not None for name in BUDGET_FIELDS)


def _finish(outcome: "Outcome", next_step: str) -> int:
    from ..training.log import duration, say

    if outcome.stopped_by:
        return 128 + outcome.stopped_by
    say(f"done: {outcome.images:,} images shown, {duration(outcome.seconds)} of training in all. Next: {next_step}")
    return 0
