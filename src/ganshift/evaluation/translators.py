"""Cards of the translator of a run folder, both ways."""

from functools import partial
from pathlib import Path
from typing import Any

from ..data.datasets import MEMORY_BUDGET_BYTES
from ..data.named import open_named_domains
from ..dual.evaluation import measure_ways
from ..errors import UserError
from ..metrics.card import Card
from ..metrics.measuring import Extraction, Settings, check_enough, provenance
from ..models import Translator
from ..runtime.log import opening_progress


def cards_of_translator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    """Measure both generators of a run on all of `data`, two domains as for training."""
    model = Translator.from_pretrained(run, settings.device)
    if data is None:
        raise UserError("a translator is measured on two domains of real images: give them with --reference")
    with opening_progress() as progress:
        domains = open_named_domains(
            data,
            None,
            None,
            model.size,
            channels_a=model.channels["a"],
            channels_b=model.channels["b"],
            memory_budget_bytes=MEMORY_BUDGET_BYTES,
            progress=progress,
        )
    split = "val" if domains.val_a and domains.val_b else "train"
    a, b = (domains.val_a, domains.val_b) if split == "val" else (domains.train_a, domains.train_b)
    assert a is not None
    assert b is not None
    metrics = settings.metrics or ("fid", "kid")
    for start, target in ((a, b), (b, a)):
        check_enough(metrics, len(start), len(target), settings)
    extraction = Extraction.open(settings)
    to_b, to_a = partial(model.translate, to="b"), partial(model.translate, to="a")
    ways = measure_ways(to_b, to_a, a, b, split, metrics, extraction, settings, provenance(run))
    return [card for way in ways for card in way.cards]
