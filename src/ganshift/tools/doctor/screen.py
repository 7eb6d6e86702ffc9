"""The report on a terminal of 80 columns or more: what is there, what is wrong, what to run, what to expect."""

import textwrap
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...training.log import duration
from . import Report
from .findings import SEVERITIES, DataFinding
from .scan import PartFacts

_STYLES = {"problem": "bold red", "warning": "yellow", "note": "cyan"}
_WIDEST = 100  # columns of text that are read with ease
_SHOWN_CLASSES = 6


def show(report: Report, console: Console) -> None:
    """Write the whole report."""
    if report.facts:
        console.print(_table(report.facts))
    _show_findings(console, report.findings)
    if report.advice is None:
        console.print("\n[bold]No command[/]: training would fail. Put right what the problems say, and ask again.")
        return
    advice = report.advice
    console.print("\n[bold]What to run[/]\n")
    console.print(f"  {escape(advice.command)}\n", soft_wrap=True)
    for sentence in advice.why:
        _write(console, sentence)
    epochs = advice.budget / advice.num_images
    shown = (
        f"It shows {advice.budget:,} images of {advice.size[1]} x {advice.size[0]} pixels, each {epochs:,.1f} times."
    )
    _write(console, shown)
    for other in report.advised[1:]:
        console.print("\n[bold]What else fits[/]\n")
        console.print(f"  {escape(other.command)}\n", soft_wrap=True)
        for sentence in other.why:
            _write(console, sentence)
    if report.throughput is not None and report.total_seconds is not None:
        console.print("\n[bold]How long[/] (measured here, with this command)\n")
        speed = f"{report.throughput.seconds_per_1000_images:,.1f} s for 1,000 images"
        measured = f"{report.throughput.images:,} in {report.throughput.seconds:.1f} s"
        total = duration(report.total_seconds)
        _write(console, f"{speed} ({measured}): {total} in all. Sample sheets and checkpoints come on top.")
    console.print("\n[bold]What to expect[/] (published, not measured here)\n")
    for sentence in advice.published:
        _write(console, sentence)


def _show_findings(console: Console, findings: Sequence[DataFinding]) -> None:
    for severity in SEVERITIES:
        chosen = [finding for finding in findings if finding.severity == severity]
        if chosen:
            console.print(f"\n[{_STYLES[severity]}]{severity}s[/]")
        for finding in chosen:
            _write(console, f"- {finding.what}")
            for example in finding.examples:
                _write(console, example, 6, "dim")
            if finding.do:
                _write(console, finding.do, 4)
    if not findings:
        console.print("\nNothing to mind was found.")


def _write(console: Console, text: str, columns: int = 2, style: str = "") -> None:
    """Wrap a paragraph, or an item with a dash, without the blanks that rich puts behind wrapped lines."""
    indent = " " * columns
    hanging = indent + "  " * text.startswith("- ")
    width = min(console.width, _WIDEST)
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
    console.print("\n".join(lines), style=style, markup=False, soft_wrap=True)


def _table(facts: Sequence[PartFacts]) -> Table:
    """One column a part."""
    table = Table()
    table.add_column("")
    for part in facts:
        table.add_column(part.part.name, justify="right", overflow="fold")
    columns = [_column(part) for part in facts]
    for row in dict.fromkeys(name for column in columns for name in column):
        table.add_row(row, *(escape(column.get(row, "")) for column in columns))
    return table


def _column(facts: PartFacts) -> dict[str, str]:
    """What the table says of a part, by the name of the row."""
    found = facts.to_json()
    column = {"image files": f"{found['files']:,}", "unreadable": f"{len(found['unreadable']):,}"}
    if not facts.pictures:
        return column
    column |= {name: _size(found[name]) for name in ("smallest", "median", "largest")}
    column["width to height"] = _shares(found["aspects"], found["images"])
    column["cut off by squares"] = f"{found['cropped_to_square']:.0%}"
    column["channels"] = _shares(found["channels"], found["images"], most=3)
    for name, key in (
        ("gray in colour files", "gray_as_colour"),
        ("of 16 bits", "sixteen_bit"),
        ("animated", "animated"),
    ):
        if found[key]:
            column[name] = f"{found[key]:,}"
    column["mean colour"] = " ".join(f"{value:.0f}" for value in found["mean_colour"])
    column["colourfulness"] = f"{found['chroma']:.1f}"
    column["fine detail"] = f"{found['texture']:.1f}"
    classes = found["classes"]
    if classes and len(classes) <= _SHOWN_CLASSES:
        column |= {f"class {name}": f"{count:,}" for name, count in classes.items()}
    elif classes:
        column[f"{len(classes)} classes"] = f"{min(classes.values()):,} to {max(classes.values()):,}"
    return column


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _shares(counts: dict[str, Any], total: int, most: int = 2) -> str:
    """The most frequent, with their share unless it is all."""
    if len(counts) == 1:
        return next(iter(counts))
    ranked = sorted(counts, key=lambda name: -counts[name])
    shown = ", ".join(f"{name} {counts[name] / total:.0%}" for name in ranked[:most])
    return shown + (" ..." if len(ranked) > most else "")
