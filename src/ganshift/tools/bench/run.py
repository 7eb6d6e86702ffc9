"""`ganshift bench`: measure some groups and show them, as tables or as JSON."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from ...training.device import choose_device
from ...training.log import say
from ...training.memory import keep_freed_memory
from . import Group
from .cases import write_pictures
from .method import Row, machine
from .suites import SUITES, Bench

TABLE_WIDTH = 150
"""Columns of text that the widest table needs; where there are fewer, it is better wrapped by the terminal than cut."""


def run_bench(
    only: Sequence[Group] = (), quick: bool = False, as_json: bool = False, device: str = "cpu", fast: bool = False
) -> None:
    """Measure these groups, or all, and write what was found to standard output."""
    where = choose_device(device)
    keep_freed_memory()  # as training does
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_pictures(folder)
        groups = {}
        chosen = only or tuple(SUITES)
        for number, group in enumerate(chosen, start=1):
            say(f"measuring {group} ({number} of {len(chosen)})")  # a bar would take time from what is measured
            started = time.monotonic()
            groups[group] = SUITES[group](Bench(folder, quick, where, fast))
            say(f"measured {group} in {time.monotonic() - started:.0f} s")
    show({"quick": quick, "device": str(where), "fast": fast, "groups": groups, "machine": machine()}, as_json)


def show(results: Mapping[str, Any], as_json: bool) -> None:
    """Write results: their `groups` of rows as one table each, or everything as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
        return
    console = Console(highlight=False, width=max(shutil.get_terminal_size().columns, TABLE_WIDTH))
    for group, rows in results["groups"].items():
        console.print(_table(group, rows))
    console.print({name: value for name, value in results.items() if name != "groups"})


def _table(title: str, rows: Sequence[Row]) -> Table:
    """One column for every name that a row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=name == "what")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _cell(value: Any) -> str:
    """Three digits are more than such figures hold."""
    if isinstance(value, list):
        return " to ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str("" if value is None else value)
