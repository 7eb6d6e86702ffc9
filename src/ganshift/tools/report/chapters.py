"""A chapter for the runs of a method: what they did, laid side by side where there are several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import final

from safetensors import SafetensorError, safe_open

from ...files import open_regular
from ...tensors import Side
from ...training.log import duration
from ...training.run_folder import LEFT_OUT, MODEL
from .page import Chapter, Commands, Facts, Figure, Notices, Panels, Part, Slider, Table
from .plots import Curve, looks, plot_curves
from .runs import Run, number, shown, versions_of
from .settings import all_settings, command_of, differences, unknown_settings
from .terms import ABOUT_CURVES, ABOUT_SHEETS, EXPLAINED, SHOWN_BY_SHEETS
from .watching import best_of, watched

PUBLISHED_IMAGES = 32_000_000
"""Real images shown in a run of the published 32-pixel code: 100,000 iterations of 5 batches of 64."""
PUBLISHED_PASSES = 100
"""Passes over the smaller folder in the longest published runs of DualGAN."""
SHEET_COLUMNS = 8
"""Of the sheets of a transfer run, in which each column is of one class."""
MOST_CLASSES = 12
"""Class names that are told."""
MOST_TERMS = 24
"""Loss terms that are drawn."""
SHEETS = {"transfer": ("samples",), "dual": ("a-b-a", "b-a-b")}
"""Names of each method's sample sheets."""


@final
@dataclass(frozen=True, kw_only=True)
class Notes:
    """What only who made the runs knows of them."""

    introduction: str = ""
    """Takes the place of ours."""
    domains: tuple[str, str] = ("A", "B")
    """What one image of A and one of B is, such as photo and sketch."""
    beside: Sequence[Part] = ()
    """Shown after the sample sheets."""
    last: Sequence[Part] = ()
    """Shown after everything else."""


def chapter(runs: Mapping[str, Run], notes: Notes) -> Chapter:
    """What one or more runs of one method did, by label."""
    method = next(iter(runs.values())).method
    parts: list[Part] = _problems(runs)
    if len(runs) > 1:
        parts.append(_at_a_glance(runs))
    parts += [*_evolution(method, runs, notes), *notes.beside]
    parts += watched(runs)
    parts += _curves(method, runs)
    parts += _differences(runs)
    if len(runs) == 1:
        (run,) = runs.values()
        parts.append(Facts(title="What ran", facts=_facts(run)))
        if settings := all_settings(run):
            parts.append(Facts(title="All settings", facts=settings, folded=True))
    parts += [*_commands(runs), *notes.last]
    a, b = notes.domains
    titles = {"transfer": "Transfer: teach a generator new images", "dual": f"Dual: translate {a} to {b}, and back"}
    introduce: Callable[[Mapping[str, Run], Notes], str] = {"transfer": _of_transfer, "dual": _of_dual}[method]
    introduction = notes.introduction or introduce(runs, notes)
    return Chapter(title=titles[method], introduction=introduction, parts=parts)


def _of_transfer(runs: Mapping[str, Run], notes: Notes) -> str:
    if len(runs) > 1:
        return (
            "Generators turn random numbers into pictures. The table says what each of these started from and was "
            "shown. It is one run of each: a small difference may be chance."
        )
    (run,) = runs.values()
    words = (
        f"A generator turns random numbers into pictures. This one started from {_start(run)}, and was then shown the "
        f"{_count(run.num_images('data'))} images of {shown(run.settings.get('data'))}, again and again.\n\n"
        f"The generator has {_count(_weights(run))} weights and trained for {duration(run.seconds)}, in which it was "
        f"shown {run.images:,} images, repeats counted. The published runs at 32 pixels show {PUBLISHED_IMAGES:,}, "
        f"to generators of width 128 (here {shown(run.get('generator', 'width'))})."
    )
    return words + (
        " Expect pictures that are on their way, not finished ones." if run.images < PUBLISHED_IMAGES / 10 else ""
    )


def _of_dual(runs: Mapping[str, Run], notes: Notes) -> str:
    words = (
        "Two generators learn to translate between two folders, A and B. Nothing says which image of A belongs to "
        "which of B. One critic per folder judges whether a translation looks like that folder, and the way there and "
        "back must end where it started."
    )
    if len(runs) > 1:
        return f"{words} It is one run of each: a small difference may be chance."
    (run,) = runs.values()
    kinds = ("" if name == domain else f" ({name})" for name, domain in zip(notes.domains, "AB", strict=True))
    counts = (f"{_count(run.num_images('data', domain))} images" for domain in "ab")
    a, b = (f"{domain}{kind}, {count}" for domain, kind, count in zip("AB", kinds, counts, strict=True))
    passes = _passes(run)
    made = f"{passes:,.1f}" if passes is not None else "an unknown number of"
    words = words.replace("two folders, A and B", f"two folders: {a}, and {b}")
    words += (
        f"\n\nBoth generators together have {_count(_weights(run))} weights and trained for {duration(run.seconds)}: "
        f"{made} passes over the images, at {_in_pixels(run.get('size'))} pixels. The published runs make up to "
        f"{PUBLISHED_PASSES}, at 256 pixels, with generators of width 64 (here {shown(run.get('gen_ab', 'width'))})."
    )
    few = passes is not None and passes < PUBLISHED_PASSES / 10
    return words + (" Expect the right kind of picture, with blur and wrong colours." if few else "")


def _problems(runs: Mapping[str, Run]) -> list[Part]:
    """What is missing of the runs, or damaged."""
    items = []
    for label, run in runs.items():
        missing = [f"There is no {MODEL}: no model was saved yet."] if not (run.path / MODEL).is_file() else []
        missing += [
            f"There are no sample sheets (samples/{name}-*.png)." for name in SHEETS[run.method] if not run.sheets(name)
        ]
        prefix = f"{label}: " if len(runs) > 1 else ""
        items += [f"{prefix}{problem}" for problem in [*missing, *run.problems]]
    return [Notices(title="What is missing", items=items)] if items else []


def _evolution(method: str, runs: Mapping[str, Run], notes: Notes) -> list[Part]:
    """Sheets over time: of one run all in one part, of several a part for each kind of sheet."""
    a, b = notes.domains
    kinds = {"samples": "Samples", "a-b-a": f"{a} to {b} and back", "b-a-b": f"{b} to {a} and back"}
    parts: dict[str, Slider] = {}
    for name in SHEETS[method]:
        for label, run in runs.items():
            title, track = ("Step by step", kinds[name]) if len(runs) == 1 else (f"{kinds[name]}, step by step", label)
            if sheets := run.sheets(name):
                caption = f"Move a slider, also with the arrow keys. {ABOUT_SHEETS[method]}"
                empty = Slider(title=title, tracks={}, caption=caption, alt=SHOWN_BY_SHEETS[method])
                part = parts.get(title, empty)
                parts[title] = replace(
                    part,
                    tracks={**part.tracks, track: sheets},
                    columns={**part.columns, track: _columns(name, run, notes)},
                )
    return list(parts.values())


def _columns(name: str, run: Run, notes: Notes) -> list[str]:
    """Headings of a sheet: of a transfer run its classes, if it has any."""
    a, b = notes.domains
    if name != "samples":
        return [a, f"made {b}", "back"] if name == "a-b-a" else [b, f"made {a}", "back"]
    classes = _classes(run)
    return [shown(classes[column % len(classes)]) for column in range(SHEET_COLUMNS)] if classes else []


def _curves(method: str, runs: Mapping[str, Run]) -> list[Part]:
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, run in runs.items():
        for line in run.log:
            for name, logged in line["terms"].items():
                if (value := number(logged)) is not None:
                    found.setdefault(name, {}).setdefault(label, []).append((line["images"], value))
    explained = EXPLAINED[method]
    names = [*(name for name in explained if name in found), *(name for name in found if name not in explained)]
    last = max((run.images for run in runs.values()), default=0)
    panels = [_term(name, found[name], runs, last, explained.get(name, "")) for name in names[:MOST_TERMS]]
    caption = ABOUT_CURVES[method]
    legend = looks(list(runs)) if len(runs) > 1 else ()
    title = "Loss curves"
    return [Panels(title=title, panels=panels, caption=caption, legend=legend)] if panels else []


def _term(name: str, curves: Mapping[str, Curve], runs: Mapping[str, Run], last: int, explained: str) -> Figure:
    ends = ", ".join(f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in curves.items())
    image = plot_curves(curves, list(runs), last)
    return Figure(title=shown(name), image=image, caption=explained, alt=f"Curves of {shown(name)}: {ends}.")


def _at_a_glance(runs: Mapping[str, Run]) -> Table:
    """A row for each fact, a column for each run."""
    facts = {label: dict(_facts(run)) for label, run in runs.items()}
    names = dict.fromkeys(name for found in facts.values() for name in found)
    rows = [[name, *(found.get(name, "") for found in facts.values())] for name in names]
    return Table(title="At a glance", headings=["", *runs], rows=rows, caption="")


def _facts(run: Run) -> list[tuple[str, str]]:
    budget = run.budget
    unfinished = budget is not None and run.images < budget
    of = f" of {budget:,}; the same command goes on" if unfinished else ""
    facts = [
        ("Images", _images(run)),
        *([("Classes", classes)] if (classes := _told_classes(run)) else []),
        *([("Started from", _start(run))] if run.method == "transfer" else []),
        ("Real images shown", f"{run.images:,}{of}"),
        ("Iterations", f"{run.iterations:,}"),
        ("Training time", duration(run.seconds)),
        *([("Best while training", best)] if (best := best_of(run)) else []),
        *([("Weights", f"{weights:,}")] if (weights := _weights(run)) else []),
        ("Seed", shown(run.settings.get("seed"))),
        ("Made with", ", ".join(f"{name} {version}" for name, version in versions_of(run).items()) or "not known"),
    ]
    if left_out := _left_out(run):
        facts.insert(1, ("Files left out", left_out))
    return facts


def _differences(runs: Mapping[str, Run]) -> list[Part]:
    if len(runs) < 2:
        return []
    rows = differences(runs)
    caption = "Everything else was the same." if rows else "All settings are the same but for the folder."
    return [Table(title="Settings that differ", headings=["setting", *runs], rows=rows, caption=caption)]


def _commands(runs: Mapping[str, Run]) -> list[Part]:
    lines = [command for run in runs.values() if (command := command_of(run))]
    unknown = list(dict.fromkeys(name for run in runs.values() for name in unknown_settings(run)))
    caption = f"Not in the command, since this version has no such setting: {', '.join(unknown)}." if unknown else ""
    title = "To make it again" if len(runs) == 1 else "To make them again"
    return [Commands(title=title, lines=lines, caption=caption)] if lines else []


def _images(run: Run) -> str:
    if run.method == "transfer":
        return f"{shown(run.settings.get('data'))}: {_count(run.num_images('data'))}"
    settings = run.settings
    place = settings.get("data") or f"{shown(settings.get('a'))} and {shown(settings.get('b'))}"
    return f"{shown(place)}: {_count(run.num_images('data', 'a'))} of A, {_count(run.num_images('data', 'b'))} of B"


def _start(run: Run) -> str:
    source = run.settings.get("source")
    return shown(source) if source else "random weights"


def _classes(run: Run) -> list[str]:
    classes = run.config.get("classes")
    return [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []


def _told_classes(run: Run) -> str:
    classes = _classes(run)
    more = f" and {len(classes) - MOST_CLASSES:,} more" if len(classes) > MOST_CLASSES else ""
    return ", ".join(map(shown, classes[:MOST_CLASSES])) + more


def _left_out(run: Run) -> str:
    """How many files could not be used; they are listed in the run folder."""
    try:
        with open_regular(run.path / LEFT_OUT) as file:
            count = sum(1 for line in file if line.strip())
    except OSError:
        return ""
    return f"{count:,}, listed in {LEFT_OUT}" if count else ""


def _passes(run: Run) -> float | None:
    counts = [run.num_images("data", domain) for domain in "ab"]
    smaller = min((count for count in counts if count), default=0)
    return run.images / smaller if smaller else None


def _weights(run: Run) -> int | None:
    """How many numbers the model's file has, without reading them; None where there is none."""
    try:
        open_regular(run.path / MODEL).close()
        with safe_open(run.path / MODEL, framework="numpy") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError):
        return None
    return sum(map(prod, shapes))


def _count(count: int | None) -> str:
    return "an unknown number of" if count is None else f"{count:,}"


def _in_pixels(size: Side | object) -> str:
    """The side of squares, or width by height."""
    if isinstance(size, list) and len(size) == 2:
        return f"{shown(size[1])} x {shown(size[0])}"
    return shown(size)
