"""Curves as SVG that follows light and dark mode, and the legend that goes with them."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as Plot
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

INK = ("#595959", "#b4b4b4")
"""Of text and axes, in light and in dark mode."""
COLOURS = (("#0072b2", "#56b4e9"), ("#d55e00", "#e69f00"), ("#009e73", "#2fd0a5"), ("#a8578a", "#cc79a7"))
"""Of curves, likewise; after Okabe and Ito, so that colour-blind readers can tell them apart."""
DASHES: Sequence[Sequence[float]] = ((), (4, 1.5), (1, 1), (6, 1, 1, 1))
"""Lengths of dashes and gaps, in line widths."""
MOST_LOOKS = len(COLOURS) * len(DASHES)
"""So many curves look different."""
FEW_POINTS = 12
"""Curves of at most this many points show them, so that a log of one line is not an empty plot."""
MOST_POINTS = 400
"""Longer curves are drawn as the means of so many stretches: a plot is no wider."""

Curve = Sequence[tuple[int, float]]
"""Real images shown, and the value of a term."""


class Look(NamedTuple):
    """How the curve of a label looks."""

    label: str
    light: str
    dark: str
    dashes: Sequence[float]


def looks(labels: Sequence[str]) -> list[Look]:
    """A look for each label; up to `MOST_LOOKS` differ."""
    return [
        Look(label, *COLOURS[index % len(COLOURS)], DASHES[(index + index // len(COLOURS)) % len(DASHES)])
        for index, label in enumerate(labels)
    ]


def plot_curves(
    curves: Mapping[str, Curve],
    labels: Sequence[str],
    last: int,
    *,
    errors: Mapping[str, Sequence[float]] | None = None,
    logarithmic: bool = False,
) -> str:
    """An SVG of curves by label over images shown, from 0 to `last`.

    With `errors` they have bands, and a ring at the lowest value. `labels` are those of all plots of a part, in which a
    label always looks the same; what looks how is said by `looks`, not in the plot.
    """
    known = {look.label: look for look in looks(labels)}
    plot = Plot(figsize=(3.9, 2.1), layout="constrained")  # without pyplot, whose state is global
    axes = plot.subplots()
    for label, curve in curves.items():
        colour = known[label].light
        dashes: Any = (0, tuple(known[label].dashes)) if known[label].dashes else "solid"
        few = len(curve) <= FEW_POINTS
        points = zip(*_thinned(curve), strict=True)
        axes.plot(*points, color=colour, linestyle=dashes, linewidth=1.4, marker="o" if few else "", markersize=3)
        if errors:
            images, values = (np.array(column) for column in zip(*curve, strict=True))
            spread = np.array(errors[label])
            axes.fill_between(images, values - spread, values + spread, color=colour, alpha=0.25, linewidth=0)
            lowest = int(values.argmin())
            ring: dict[str, Any] = {"markerfacecolor": "none", "markersize": 9, "markeredgewidth": 1.4}
            axes.plot(images[lowest], values[lowest], marker="o", color=colour, **ring)
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
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ganshift"}):  # equal runs, equal pages
        plot.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _follow_mode(buffer.getvalue())


def _thinned(curve: Curve) -> Curve:
    """The curve itself, or the means of equal stretches of it."""
    if len(curve) <= MOST_POINTS:
        return curve
    parts = np.array_split(np.array(curve, dtype=float), MOST_POINTS)
    return [(round(images), value) for images, value in (part.mean(axis=0) for part in parts)]


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
