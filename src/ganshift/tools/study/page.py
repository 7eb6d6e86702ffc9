"""The page of a study: its table, curves of scores, sample sheets side by side, and the recipe."""

from collections.abc import Sequence

from ...methods.words import with_domains
from ..report import (
    Chapter,
    Commands,
    Facts,
    Figure,
    Listing,
    Panels,
    Part,
    Table,
    environment,
    looks,
    open_run,
    plot_curves,
    render,
)
from .folder import StudyFolder
from .recipe import SEED, Recipe
from .results import CELLS, TABLE, Row, as_lines, score_names

PAGE = "results.html"
DOMAINS = ("A", "B")
"""What an image of each domain is called."""
ABOUT_SCORES = (
    "Mean over seeds, and half of its 95 % confidence interval (Student's t) where there are several; n is the number "
    "of finished cells. FID, KID and L1 are better when lower, the other scores when higher. With few seeds it is "
    "wide: rows whose intervals overlap are not shown to differ."
)


def write_page(folder: StudyFolder, recipe: Recipe, table: Sequence[Row], command: str) -> None:
    """Write results.html, whole or not at all."""
    results = [result for row in table for result in row.results]
    failed = [(cell, reason) for cell in recipe.cells if (reason := folder.failure(cell)) and not folder.record(cell)]
    lines = as_lines(table)
    parts: list[Part] = [
        Table(
            title="Scores",
            headings=list(lines[0]),
            rows=[list(line.values()) for line in lines],
            numbers=["n", *score_names(table)],
            caption=ABOUT_SCORES,
        )
    ]
    if failed:
        parts.append(
            Table(
                title="Cells that failed",
                headings=["cell", "reason"],
                rows=[(cell.place, reason.splitlines()[-1]) for cell, reason in failed],
                caption="The same command tries them again.",
            )
        )
    parts += _curves(recipe, table)
    parts += _grids(recipe, table)
    parts.append(Listing(title="Recipe", text=recipe.text, caption=""))
    sources = [cell for cell in recipe.cells if cell.evaluation is None]
    records = {cell.place: record for cell in recipe.cells if (record := folder.record(cell))}
    facts = [
        ("Cells finished", f"{len(results)} of {len(recipe.cells) - len(sources)}"),
        ("Seeds", ", ".join(recipe.axes.get(SEED, ["0"]))),
        *((f"Input {name}", value) for name, value in recipe.inputs.items()),
        *_protocol(table),
        ("As numbers", f"{TABLE} (means) and {CELLS} (every cell), beside this page"),
    ]
    if sources:
        facts.insert(1, ("Sources trained", f"{sum(cell.place in records for cell in sources)} of {len(sources)}"))
    with_data = " ".join(f"--data {name}=my-{name}/" for name in recipe.inputs)
    own = f"ganshift study {recipe.name} {with_data} --out runs/mine".replace("  ", " ")
    parts += [Facts(title="What ran", facts=facts), Commands(title="With your own images", lines=[own])]
    render(
        folder.path / PAGE,
        title=f"Study: {recipe.name}",
        introduction=recipe.about or f"A grid of {recipe.method} runs.",
        chapters=[Chapter(title="Results", introduction=recipe.published, parts=parts)],
        environment=environment([open_run(result.run) for result in results]),
        seconds=sum(record["seconds"] for record in records.values()),
        commands=[command],
    )


def _protocol(table: Sequence[Row]) -> list[tuple[str, str]]:
    """How each score was measured; where rows differ, as by their reference, all ways are named."""
    found: dict[str, list[str]] = {}
    for row in table:
        for result in row.results:
            for record in result.records:
                reference = f"{record.num_reference:,} of {record.reference_split}" if record.num_reference else "none"
                way = f"{record.num_generated:,} images, reference {reference}, {record.protocol}"
                if way not in found.setdefault(record.name, []):
                    found[record.name].append(way)
    return [(name, "; or ".join(ways)) for name, ways in found.items()]


def _outer(recipe: Recipe, table: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Rows that differ along the compared axis only, by its labels, under a title that says what they share."""
    groups: dict[str, dict[str, Row]] = {}
    for row in table:
        shared = ", ".join(f"{axis} {label}" for axis, label in row.labels.items() if axis != recipe.lines)
        groups.setdefault(shared, {})[row.labels.get(recipe.lines, "all")] = row
    return groups


def _curves(recipe: Recipe, table: Sequence[Row]) -> list[Part]:
    """Each score against images shown, a plot for every group of rows; none if nothing was measured on the way."""
    last = max((result.record["images"] for row in table for result in row.results), default=0)
    labels = recipe.axes[recipe.lines]
    parts: list[Part] = []
    for name in score_names(table):
        panels = []
        for shared, compared in _outer(recipe, table).items():
            curves = {label: row.curves().get(name, []) for label, row in compared.items()}
            if any(len(curve) > 1 for curve in curves.values()):
                drawn = {label: curve for label, curve in curves.items() if curve}
                ends = ", ".join(f"{label} ends at {curve[-1][1]:.3g}" for label, curve in drawn.items())
                panels.append(
                    Figure(
                        title=shared or recipe.lines,
                        image=plot_curves(drawn, labels, last),
                        caption="",
                        alt=f"Curves of {name} against real images shown: {ends}.",
                    )
                )
        if panels:
            parts.append(
                Panels(
                    title=f"{name} while training",
                    panels=panels,
                    caption="Means over the seeds that have finished.",
                    legend=looks(labels),
                )
            )
    return parts


def _grids(recipe: Recipe, table: Sequence[Row]) -> list[Part]:
    """The last sample grids of the first finished cell of each row, those to be compared side by side."""
    runs = {first.cell.place: open_run(first.run) for row in table for first in row.results[:1]}
    parts: list[Part] = []
    for grid in {grid.name: grid for run in runs.values() for grid in run.grids}.values():
        title = with_domains(grid.title or grid.label, DOMAINS)
        for shared, compared in _outer(recipe, table).items():
            panels = []
            for label, row in compared.items():
                for first in row.results[:1]:
                    run = runs[first.cell.place]
                    for images, picture in run.grid_files(grid.name)[-1:]:
                        panels.append(
                            Figure(
                                title=f"{recipe.lines} {label}",
                                image=picture,
                                caption=f"Seed {run.settings['seed']}, after {images:,} images.",
                                alt=f"{title} of {first.cell.place} after {images:,} real images shown.",
                            )
                        )
            if panels:
                parts.append(Panels(title=f"{title}: {shared}" if shared else title, panels=panels, caption=""))
    return parts
