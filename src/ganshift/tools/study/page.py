"""The page of a study: its table, curves of scores, sample grids side by side, and the recipe."""

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
from .recipe import SEED, Study
from .results import CELLS, TABLE, Row, score_names

PAGE = "results.html"
DOMAINS = ("A", "B")
"""What an image of each domain is called."""
ABOUT_SCORES = (
    "Mean over seeds, and half of its 95 % confidence interval (Student's t) where there are several; n is the number "
    "of finished cells. FID, KID and L1 are better when lower, the other scores when higher. With few seeds it is "
    "wide: rows whose intervals overlap are not shown to differ."
)


def write_page(study: Study, table: Sequence[Row], command: str) -> None:
    """Write results.html, whole or not at all."""
    sources = [cell for cell in study.cells if cell.evaluation is None]
    trained = [open_run(cell.run) for cell in sources if cell.finished]
    measured = [result.run for row in table for result in row.results]
    parts = [_scores(table), *_failures(study), *_curves(study, table), *_grids(study, table)]
    parts.append(Listing(title="Recipe", text=study.recipe.text, caption=""))
    facts = [
        ("Cells finished", f"{len(measured)} of {len(study.cells) - len(sources)}"),
        *([("Sources trained", f"{len(trained)} of {len(sources)}")] if sources else []),
        ("Seeds", ", ".join(study.labels(SEED) or ["0"])),
        *((f"Input {name}", value) for name, value in study.inputs.items()),
        *_protocol(table),
        ("As numbers", f"{TABLE} (means) and {CELLS} (every cell), beside this page"),
    ]
    with_data = [f"--data {name}=my-{name}/" for name in study.inputs]
    own = " ".join(["ganshift study", study.recipe.name, *with_data, "--out runs/mine"])
    parts += [Facts(title="What ran", facts=facts), Commands(title="With your own images", lines=[own])]
    render(
        study.out / PAGE,
        title=f"Study: {study.recipe.name}",
        introduction=study.recipe.about or f"A grid of {study.recipe.method} runs.",
        chapters=[Chapter(title="Results", introduction=study.recipe.published, parts=parts)],
        environment=environment(measured),
        seconds=sum(run.seconds for run in (*trained, *measured)),
        commands=[command],
    )


def _scores(table: Sequence[Row]) -> Part:
    names = score_names(table)
    found = [(row, row.scores()) for row in table]
    return Table(
        title="Scores",
        headings=[*table[0].labels, "n", *names],
        rows=[
            [*row.labels.values(), str(len(row.results)), *(str(scores.get(name, "")) for name in names)]
            for row, scores in found
        ],
        numbers=["n", *names],
        caption=ABOUT_SCORES,
    )


def _failures(study: Study) -> list[Part]:
    failed = [(cell.place, reason) for cell in study.cells if not cell.finished and (reason := cell.failure())]
    caption = "The same command tries them again."
    headings = ["cell", "reason"]
    return [Table(title="Cells that failed", headings=headings, rows=failed, caption=caption)] if failed else []


def _protocol(table: Sequence[Row]) -> list[tuple[str, str]]:
    """How each score was measured; where rows differ, as by their reference, all ways are named."""
    found: dict[str, dict[str, None]] = {}
    for record in (record for row in table for result in row.results for record in result.records):
        reference = f"{record.num_reference:,} of {record.reference_split}" if record.num_reference else "none"
        way = f"{record.num_generated:,} images, reference {reference}, {record.protocol}"
        found.setdefault(record.name, {})[way] = None
    return [(name, "; or ".join(ways)) for name, ways in found.items()]


def _outer(study: Study, table: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Rows that differ along the compared axis only, by its labels, under a title that says what they share."""
    groups: dict[str, dict[str, Row]] = {}
    for row in table:
        shared = ", ".join(f"{axis} {label}" for axis, label in row.labels.items() if axis != study.recipe.compared)
        groups.setdefault(shared, {})[row.labels.get(study.recipe.compared, "all")] = row
    return groups


def _curves(study: Study, table: Sequence[Row]) -> list[Part]:
    """Each score against images shown, a plot for every group of rows; none if nothing was measured on the way."""
    last = max((result.run.images for row in table for result in row.results), default=0)
    labels = study.labels(study.recipe.compared)
    parts: list[Part] = []
    for name in score_names(table):
        panels = []
        for shared, compared in _outer(study, table).items():
            curves = {label: curve for label, row in compared.items() if len(curve := row.curve(name)) > 1}
            ends = ", ".join(f"{label} ends at {curve[-1][1]:.3g}" for label, curve in curves.items())
            if curves:
                panels.append(
                    Figure(
                        title=shared or study.recipe.compared,
                        image=plot_curves(curves, labels, last),
                        caption="",
                        alt=f"Curves of {name} against real images shown: {ends}.",
                    )
                )
        if panels:
            caption = "Means over the seeds that have finished."
            parts.append(Panels(title=f"{name} while training", panels=panels, caption=caption, legend=looks(labels)))
    return parts


def _grids(study: Study, table: Sequence[Row]) -> list[Part]:
    """The last sample grids of the first finished cell of each row, those to be compared side by side."""
    parts: list[Part] = []
    for grid in {grid.name: grid for row in table for first in row.results[:1] for grid in first.run.grids}.values():
        title = with_domains(grid.title or grid.label, DOMAINS)
        for shared, compared in _outer(study, table).items():
            panels = [
                Figure(
                    title=f"{study.recipe.compared} {label}",
                    image=picture,
                    caption=f"Seed {first.run.settings['seed']}, after {images:,} images.",
                    alt=f"{title} of {first.cell.place} after {images:,} real images shown.",
                )
                for label, row in compared.items()
                for first in row.results[:1]
                for images, picture in first.run.grid_files(grid.name)[-1:]
            ]
            if panels:
                parts.append(Panels(title=f"{title}: {shared}" if shared else title, panels=panels, caption=""))
    return parts
