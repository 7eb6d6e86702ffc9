"""The page of a study: its table, curves of scores, sample grids side by side, and the recipe."""

from collections.abc import Sequence

from ...data.domain_names import shared_names
from ...methods.words import with_domains
from ..report.page import Figure, render
from ..report.plots import looks, plot_curves
from ..report.runs import environment, open_run
from .benefit import Benefit
from .recipe import SEED, Study
from .results import CELLS, TABLE, Row, kept_apart, score_names

PAGE = "results.html"


def write_page(study: Study, table: Sequence[Row], benefit: Sequence[Benefit], command: str) -> None:
    """Write results.html, whole or not at all."""
    sources = [cell for cell in study.cells if cell.evaluation is None]
    trained = [open_run(cell.run) for cell in sources if cell.finished]
    measured = [result.run for row in table for result in row.results]
    names = score_names(table)
    rows = []
    for row in table:
        scores = row.scores()
        rows.append([*row.labels.values(), str(len(row.results)), *(str(scores.get(name, "")) for name in names)])
    facts = [
        ("Cells finished", f"{len(measured)} of {len(study.cells) - len(sources)}"),
        *([("Sources trained", f"{len(trained)} of {len(sources)}")] if sources else []),
        ("Seeds", ", ".join(study.labels(SEED) or ["0"])),
        *((f"Input {name}", value) for name, value in study.inputs.items()),
        *_protocol(table),
        ("As numbers", f"{TABLE} (means) and {CELLS} (every cell), beside this page"),
    ]
    with_data = [f"--data {name}=my-{name}/" for name in study.inputs]
    render(
        study.out / PAGE,
        "study.html.j2",
        title=f"Study: {study.recipe.name}",
        introduction=study.recipe.about or f"A grid of {study.recipe.method} runs.",
        environment=environment(measured),
        seconds=sum(run.seconds for run in (*trained, *measured)),
        command=command,
        recipe=study.recipe,
        axes=list(table[0].labels),
        scores=names,
        rows=rows,
        benefit=benefit,
        apart=kept_apart(table),
        failed=[(cell.place, why) for cell in study.cells if not cell.finished and (why := cell.failure())],
        curves={name: figures for name in names if (figures := _curves(study, table, name))},
        looks=looks(study.labels(study.recipe.compared)),
        grids=_grids(study, table),
        facts=facts,
        own=" ".join(["ganshift study", study.recipe.name, *with_data, "--out runs/mine"]),
    )


def _protocol(table: Sequence[Row]) -> list[tuple[str, str]]:
    """How each score was measured; where rows differ, as by their reference, all ways are named."""
    found: dict[str, dict[str, None]] = {}
    for name, record in (item for row in table for result in row.results for item in result.scores.items()):
        reference = f"{record.num_reference:,} of {record.reference_split}" if record.num_reference else "none"
        way = f"{record.num_generated:,} images, reference {reference}, {record.protocol}"
        found.setdefault(name, {})[way] = None
    return [(name, "; or ".join(ways)) for name, ways in found.items()]


def _outer(study: Study, table: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Rows that differ along the compared axis only, by its labels, under a title that says what they share."""
    groups: dict[str, dict[str, Row]] = {}
    for row in table:
        shared = ", ".join(f"{axis} {label}" for axis, label in row.labels.items() if axis != study.recipe.compared)
        groups.setdefault(shared, {})[row.labels.get(study.recipe.compared, "all")] = row
    return groups


def _curves(study: Study, table: Sequence[Row], name: str) -> list[Figure]:
    """A score against images shown, a plot for every group of rows that was measured on the way."""
    last = max((result.run.images for row in table for result in row.results), default=0)
    figures = []
    for shared, compared in _outer(study, table).items():
        curves = {label: curve for label, row in compared.items() if len(curve := row.curve(name)) > 1}
        ends = ", ".join(f"{label} ends at {curve[-1][1]:.3g}" for label, curve in curves.items())
        if curves:
            figures.append(
                Figure(
                    title=shared or study.recipe.compared,
                    image=plot_curves(curves, study.labels(study.recipe.compared), last),
                    alt=f"Curves of {name} against real images shown: {ends}.",
                )
            )
    return figures


def _grids(study: Study, table: Sequence[Row]) -> dict[str, list[Figure]]:
    """The last sample grids of the first finished cell of each row, those to be compared side by side, by a title."""
    found: dict[str, list[Figure]] = {}
    names = shared_names(result.run.names for row in table for result in row.results)
    for grid in {grid.name: grid for row in table for first in row.results[:1] for grid in first.run.grids}.values():
        title = with_domains(grid.title or grid.label, names)
        for shared, compared in _outer(study, table).items():
            for label, row in compared.items():
                for first in row.results[:1]:
                    for images, picture in first.run.grid_files(grid.name)[-1:]:
                        figure = Figure(
                            title=f"{study.recipe.compared} {label}",
                            image=picture,
                            caption=f"Seed {first.run.settings['seed']}, after {images:,} images.",
                            alt=f"{title} of {first.cell.place} after {images:,} real images shown.",
                        )
                        found.setdefault(f"{title}: {shared}" if shared else title, []).append(figure)
    return found
