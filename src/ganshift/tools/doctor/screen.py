"""The report on a terminal of 80 columns or more: what is there, what is wrong, what to run, what to expect."""

import textwrap
from collections import Counter
from collections.abc import Sequence

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
    advice, found = report.advice, report.throughput
    epochs, (height, width) = advice.budget / advice.num_images, advice.size
    shown = f"It shows {advice.budget:,} images of {width} x {height} pixels, each {epochs:,.1f} times."
    _show_section(console, "What to run", [*advice.why, shown], command=advice.command)
    for other in report.advised[1:]:
        _show_section(console, "What else fits", other.why, command=other.command)
    if found is not None:
        speed = f"{found.seconds_per_1000_images:,.1f} s for 1,000 images ({found.images:,} in {found.seconds:.1f} s)"
        long = f"{speed}: {duration(report.total_seconds)} in all. Sample grids and checkpoints come on top."
        _show_section(console, "How long", [long], "(measured here, with this command)")
    _show_section(console, "What to expect", advice.published, "(published, not measured here)")


def _show_section(
    console: Console, title: str, paragraphs: Sequence[str], aside: str = "", command: str | None = None
) -> None:
    console.print(f"\n[bold]{title}[/] {aside}".rstrip() + "\n")
    if command is not None:
        console.print(f"  {escape(command)}\n", soft_wrap=True)
    for paragraph in paragraphs:
        _write(console, paragraph)


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
    column |= {name: "{} x {}".format(*found[name]) for name in ("smallest", "median", "largest")}
    column["width to height"] = _shares(found["aspects"], found["images"])
    column["cut off by squares"] = f"{found['cropped_to_square']:.0%}"
    column["channels"] = _shares(found["channels"], found["images"], most=3)
    some = {"gray in colour files": "gray_as_colour", "of 16 bits": "sixteen_bit", "animated": "animated"}
    column |= {name: f"{found[key]:,}" for name, key in some.items() if found[key]}
    column["mean colour"] = " ".join(f"{value:.0f}" for value in found["mean_colour"])
    column["colourfulness"] = f"{found['chroma']:.1f}"
    column["fine detail"] = f"{found['texture']:.1f}"
    classes = found["classes"]
    if len(classes) <= _SHOWN_CLASSES:
        column |= {f"class {name}": f"{count:,}" for name, count in classes.items()}
    else:
        column[f"{len(classes)} classes"] = f"{min(classes.values()):,} to {max(classes.values()):,}"
    return column


def _shares(counts: dict[str, int], total: int, most: int = 2) -> str:
    """The most frequent, with their share unless it is all."""
    if len(counts) == 1:
        return next(iter(counts))
    ranked = Counter(counts).most_common()
    shown = ", ".join(f"{name} {count / total:.0%}" for name, count in ranked[:most])
    return shown + (" ..." if len(ranked) > most else "")
