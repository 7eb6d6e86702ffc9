"""The report on a terminal of 80 columns or more: what is there, what is wrong, what to run, what to expect."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...inference.pages import templates
from ...training.log import duration
from . import Report
from .scan import PartFacts

_WIDEST = 100  # columns of text that are read with ease
_SHOWN_CLASSES = 6


def show(report: Report, console: Console) -> None:
    """Write the whole report."""
    if report.facts:
        console.print(_table(report.facts))
    environment = templates(html=False)
    environment.filters |= {"escaped": escape, "wrapped": partial(_wrapped, min(console.width, _WIDEST))}
    template = environment.get_template("doctor.txt.j2")
    console.print(template.render(report=report, duration=duration), soft_wrap=True, end="")


def _wrapped(width: int, text: str, columns: int) -> str:
    """A paragraph, or an item with a dash, without the blanks that rich puts behind wrapped lines."""
    indent = " " * columns
    hanging = indent + "  " * text.startswith("- ")
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
    return escape("\n".join(lines))


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
