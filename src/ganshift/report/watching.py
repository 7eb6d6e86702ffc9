"""What a run was found to be while it trained: its scores with their errors, the best, and messages on its health."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime import run_folder
from .page import Figure, Panels
from .runs import Curve, plot_curves, summarize

LOG_SCALE = 8.0
"""Scores of which the largest is so many times the smallest are drawn on a logarithmic scale."""


def watched(runs: Mapping[str, Path]) -> list[Panels]:
    """One part of a chapter: a plot per score with a curve per run, and what was said; empty if there is neither."""
    lines = {label: evaluations(run) for label, run in runs.items()}
    names = list(dict.fromkeys(line["score"]["name"] for found in lines.values() for line in found))
    last = max((summarize(run).images for run in runs.values()), default=0)
    panels = []
    for name in names:
        scores = {
            label: [{"images": line["images"], **line["score"]} for line in found if line["score"]["name"] == name]
            for label, found in lines.items()
        }
        panels.append(_panel(name, {label: found for label, found in scores.items() if found}, runs, last))
    said = [
        f"{label}, at {message['images']:,} images: {message['message']}"
        for label, run in runs.items()
        for message in messages(run)
    ]
    if not panels and not said:
        return []
    caption = (
        "Lower is better, and the band is one standard error to each side. What the scores mean, and what makes two of "
        "them comparable, is said in docs/metrics.md."
        if panels
        else ""
    )
    return [Panels(title="Scores and health", panels=panels, caption="\n\n".join([caption, *said]).strip())]


def evaluations(run: Path) -> list[dict[str, Any]]:
    """The lines of evaluations.jsonl; none if the run was not evaluated while it trained."""
    path = run / run_folder.EVALUATIONS
    return run_folder.read_log(path) if path.is_file() else []


def messages(run: Path) -> list[dict[str, Any]]:
    """What was said about the run's health, in order."""
    path = run / run_folder.HEALTH
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["messages"] if path.is_file() else []
    return found


def _panel(name: str, scores: Mapping[str, list[dict[str, Any]]], runs: Mapping[str, Path], last: int) -> Figure:
    curves: dict[str, Curve] = {
        label: [(score["images"], score["value"]) for score in found] for label, found in scores.items()
    }
    errors = {label: [score["error"] for score in found] for label, found in scores.items()}
    lowest = min(
        value - error for label in curves for (_, value), error in zip(curves[label], errors[label], strict=True)
    )
    highest = max(value for curve in curves.values() for _, value in curve)
    best = [
        f"{label}: {low['value']:.3g} ± {low['error']:.1g} at {low['images']:,} images"
        for label, found in scores.items()
        for low in [min(found, key=lambda score: score["value"])]
    ]
    logarithmic = lowest > 0 and highest > LOG_SCALE * lowest
    return Figure(
        title=name,
        image=plot_curves(curves, list(runs), last, errors=errors, logarithmic=logarithmic),
        caption=f"Best (the ring): {'; '.join(best)}.{' The scale is logarithmic.' if logarithmic else ''}",
        alt=f"Curves of {name}. Best: {'; '.join(best)}.",
    )
