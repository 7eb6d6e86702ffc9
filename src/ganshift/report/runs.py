"""What a run folder tells: its sheets over time, its loss curves, its settings and how long it took."""

import io
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as Plot
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ..errors import UserError
from ..runtime import run_folder

NOT_LEARNED = frozenset(
    {
        *("out", "log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "workers"),
        *("evaluate_every", "evaluate_images", "best_by", "when_stalled", "on_collapse"),
    }
)
"""Settings that say nothing about what a run learns."""
INK = ("#595959", "#b4b4b4")
"""Of text and axes, in light and in dark mode."""
COLOURS = (("#0072b2", "#56b4e9"), ("#d55e00", "#e69f00"), ("#009e73", "#2fd0a5"), ("#a8578a", "#cc79a7"))
"""Of curves, likewise; after Okabe and Ito, so that colour-blind readers can tell them apart."""
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1, 1, 1)))
FEW_POINTS = 12
"""Curves of at most this many points show them, so that a log of one line is not an empty plot."""

Curve = Sequence[tuple[int, float]]
"""Real images shown, and the value of a term."""


@final
@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run as its config.json and log.jsonl tell it."""

    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    log: Sequence[Mapping[str, Any]]

    @property
    def images(self) -> int:
        """Real images shown, as of the last line of the log."""
        return self.log[-1]["images"] if self.log else 0

    @property
    def seconds(self) -> float:
        """Time spent training, likewise."""
        return self.log[-1].get("seconds", 0.0) if self.log else 0.0

    @property
    def iterations(self) -> int:
        """Iterations done, likewise."""
        return self.log[-1].get("iteration", 0) if self.log else 0


def summarize(run: Path) -> Summary:
    """Read both files; a log without lines is fine, a folder without a log is no run."""
    config = run_folder.read_config(run)
    path = run / run_folder.LOG
    if not path.is_file():
        raise UserError(f"{run} has no {run_folder.LOG}: a report needs the folder of a training run")
    if not isinstance(config.get("training"), dict) or not isinstance(config.get("versions"), dict):
        raise UserError(f"{run / run_folder.CONFIG} has no settings: a report needs the folder of a training run")
    return Summary(settings=config["training"], config=config, log=run_folder.read_log(path))


def evolution(run: Path, name: str) -> list[tuple[int, bytes]]:
    """Images seen and PNG bytes of the run's sample sheets called `name`, from first to last."""
    folder = run / run_folder.SAMPLES
    pattern = re.compile(rf"{re.escape(name)}-(\d+)\.png")
    matches = (pattern.fullmatch(path.name) for path in folder.glob("*.png"))
    found = sorted((int(match[1]), match[0]) for match in matches if match)
    if not found:
        raise UserError(f"{run} has no {folder.name}/{name}-*.png: a report needs the sample sheets of a run")
    return [(seen, (folder / file).read_bytes()) for seen, file in found]


def loss_curves(runs: Mapping[str, Path]) -> dict[str, str]:
    """One small SVG per loss term with a curve per run, by label; one each, so that a phone can stack them.

    A run whose log lacks a term has no curve for it. The plots are transparent and follow light and dark mode.
    """
    last = max((summarize(run).images for run in runs.values()), default=0)
    return {name: plot_curves(curves, list(runs), last) for name, curves in terms(runs).items()}


def terms(runs: Mapping[str, Path]) -> dict[str, dict[str, Curve]]:
    """The logged terms by name, and in each the curves by run label."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for label, run in runs.items():
        for line in summarize(run).log:
            for name, value in line["terms"].items():
                if math.isfinite(value):
                    found.setdefault(name, {}).setdefault(label, []).append((line["images"], value))
    return {name: dict(curves) for name, curves in found.items()}


def environment(*runs: Path) -> dict[str, str]:
    """Versions that the runs were made with, and the machine this is called on."""
    found: dict[str, str] = {}
    for run in runs:
        for name, version in run_folder.read_config(run)["versions"].items():
            known = found.setdefault(name, version)
            if version not in known.split(", "):
                found[name] = f"{known}, {version}"
    return found | {"platform": platform.platform(terse=True), "processor cores": str(os.cpu_count())}


def plot_curves(
    curves: Mapping[str, Curve],
    labels: Sequence[str],
    last: int,
    *,
    errors: Mapping[str, Sequence[float]] | None = None,
    logarithmic: bool = False,
) -> str:
    """An SVG of curves by label over images shown, from 0 to `last`.

    With `errors` they have bands, and a ring at the lowest value. `labels` are those of all plots on a page, in which a label always looks the same. Up to 16 look different.
    """
    looks = {
        label: (COLOURS[index % len(COLOURS)][0], DASHES[(index + index // len(COLOURS)) % len(DASHES)])
        for index, label in enumerate(labels)
    }
    plot = Plot(figsize=(3.9, 2.1), layout="constrained")  # without pyplot, whose state is global
    axes = plot.subplots()
    for label, curve in curves.items():
        colour, dashes = looks[label]
        axes.plot(
            *zip(*curve, strict=True),
            label=label,
            color=colour,
            linestyle=dashes,
            linewidth=1.4,
            marker="o" if len(curve) <= FEW_POINTS else "",
            markersize=3,
        )
        if errors:
            images, values = (np.array(column) for column in zip(*curve, strict=True))
            spread = np.array(errors[label])
            axes.fill_between(images, values - spread, values + spread, color=colour, alpha=0.25, linewidth=0)
            lowest = int(values.argmin())
            axes.plot(
                images[lowest],
                values[lowest],
                marker="o",
                color=colour,
                markerfacecolor="none",
                markersize=9,
                markeredgewidth=1.4,
            )
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0, max(last, 1) * 1.02)
    axes.set_xlabel("real images shown", color=INK[0], fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(colors=INK[0], labelsize=9)
    axes.grid(color=INK[0], alpha=0.2, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_color(INK[0])
        spine.set_visible(side in ("left", "bottom"))
    if len(curves) > 2:  # beside the axes, where it hides no curve
        plot.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9, labelcolor=INK[0])
    elif len(curves) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK[0])
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ganshift"}):  # equal runs, equal pages
        plot.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _follow_mode(buffer.getvalue())


def _follow_mode(svg: str) -> str:
    """Replace the colours of light mode by variables, which dark mode sets to others."""
    light, dark = "", ""
    for index, (by_day, by_night) in enumerate((INK, *COLOURS)):
        svg = svg.replace(by_day, f"var(--c{index})")
        light += f"--c{index}:{by_day};"
        dark += f"--c{index}:{by_night};"
    start = svg.index(">", svg.index("<svg ")) + 1
    style = f"<style>svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return svg[:start] + style + svg[start:]
