"""The model card: what a model is, learned from, scores and looks like, as the README.md that a hub shows."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData

from ..data.domain_names import in_files, stored_names, way_in_words
from ..data.value_range import stored_range
from ..errors import printable
from ..files import read_text, write_output
from ..metrics.copying import load_verdict
from ..metrics.record_files import RECORDS, records_of
from ..metrics.score_record import record_rows
from ..training import run_folder
from ..training.config import BUDGET_FIELDS, FREE_TO_CHANGE
from ..training.weights import hash_of_file

if TYPE_CHECKING:
    from .pretrained import Pretrained

README = "README.md"
WRITTEN = "Written by ganshift. Take this line away, and ganshift leaves the file alone."
COLOURS = {1: "gray", 3: "colour", 4: "colour with opacity"}
"""What channels are."""
logger = logging.getLogger("ganshift")


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What only people know of a model."""

    name: str | None = None
    """What the model is called; the name of its folder, or of its repository, if left out."""
    license: str | None = None
    """Of the weights, as the hub names licences, such as apache-2.0 or cc-by-nc-4.0; unknown if left out."""
    data: str | None = None
    """What the training images are, where they come from and under which terms, in a sentence or more."""
    pictures: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Pictures that a translator is shown on, by their domain, a or b or by name, as `Translator` takes them."""


def model_card(model: "Pretrained", config: Mapping[str, Any], folder: Path | None, notes: Notes) -> ModelCard:
    """The card of a model of this description; `folder` has its scores and pictures."""
    from .pages import templates  # jinja2 is slow to import, and most models get no card

    training, saved = (run_folder.section(config, part) for part in ("training", "saved"))
    name = notes.name or (folder.resolve().name if folder else "this model")
    run = saved.get("run") or training.get("out")
    metadata = ModelCardData(
        library_name="ganshift",
        license=notes.license or "unknown",
        pipeline_tag=model.pipeline_tag,
        tags=["ganshift", "gan", *model.tags],
    )
    environment = templates(html=False)
    environment.filters["cell"] = cell
    names = stored_names(config)
    text = environment.get_template("model_card.md.j2").render(
        metadata=metadata.to_yaml(),
        written=WRITTEN,
        model=model,
        colours=COLOURS,
        python=(model.package or type(model).__module__, type(model).__name__),
        name=name,
        where=re.sub(r"[^\w./-]", "-", name if "/" in name else f"path/to/{name}"),  # it stands in code
        notes=notes,
        classes=config.get("classes") or [],
        names=names,
        to=in_files(names["b"]),
        ranges={of: each for of in ("images", "a", "b") if (each := stored_range(config, of))},
        num_weights=sum(weights.numel() for weights in model.parameters()),
        training=training,
        saved=saved,
        **{part: run_folder.section(config, part) for part in ("data", "imported", "versions")},
        settings={
            name: value
            for name, value in training.items()
            if name not in FREE_TO_CHANGE and value is not None and value is not False
        },
        budgets=BUDGET_FIELDS,
        run=Path(run).name if isinstance(run, str) else None,
        pictures=sorted(path.name for path in folder.glob("samples*.png")) if folder else [],
        has_critic=bool(folder and (folder / run_folder.CRITIC).exists()),
        model_hash=hash_of_file(folder / run_folder.MODEL) if folder else None,
        scores=record_rows(records_of(folder)) if folder and (folder / RECORDS).is_dir() else [],
        way_in_words=way_in_words,
        verdict=load_verdict(folder) if folder else None,
    )
    return ModelCard(text)


def write(folder: Path, card: ModelCard) -> None:
    """Write the card as README.md, unless there is one that somebody else wrote or has taken over."""
    path = folder / README
    if path.exists() and WRITTEN not in read_text(path):
        logger.warning("%s was not written by ganshift and stays as it is", path)
        return
    write_output(path, card.content.encode("utf-8", "backslashreplace"))


def history(run: Path) -> dict[str, Any]:
    """What a description gets of where its model comes from: the name of the run, and images shown as of its log.

    Nothing of what is no run, but a model that was saved before or is bundled: then the description says so itself.
    """
    place = run.resolve()
    try:
        if (run / run_folder.EVALUATION).is_file():  # the best of a run, which lies in the run
            place, shown = place.parent, json.loads(read_text(run / run_folder.EVALUATION))["images"]
        else:
            shown = max((line["images"] for line in run_folder.read_log(run / run_folder.LOG)), default=0)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {"saved": {"run": place.name, "images_shown": shown}}


def cell(value: Any) -> str:
    """A value in Markdown, in a table or a line, whatever a foreign file holds: one line, and no markup of its own."""
    text = printable(str(value))
    for mark in "\\`*[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text
