"""What a model card on the page shows: network, data, settings, scores; never where anything lies on the server."""

import logging
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ...data.domain_names import DomainNames, stored_names, way_in_words
from ...errors import UserError, printable
from ...inference.generator import ImageGenerator
from ...inference.model_card import COLOURS
from ...inference.translator import ImageTranslator
from ...metrics.record_files import RECORDS, records_of
from ...metrics.score_record import record_rows
from ...tensors import height_and_width

Rows = dict[str, str]
ModelCard = dict[str, Rows]
"""Tables by their heading."""
UNTOLD = frozenset({"out", "device", "workers", "memory_budget"})
"""Settings that say where and on what a run was trained, and nothing about the model."""

logger = logging.getLogger("ganshift")


def model_card(run: Path, model: ImageGenerator | ImageTranslator) -> ModelCard:
    """The tables of a run, from its config.json and its cards; those that it does not have are left out."""
    config = model.config
    tables = {
        "Model": _facts(model),
        "Data": _flat(config.get("data")),
        "Settings": {name: text for name, text in _flat(config.get("training")).items() if name not in UNTOLD},
        "Scores": _scores(run, stored_names(config)),
        "Made with": _flat(config.get("versions")),
    }
    return {title: rows for title, rows in tables.items() if rows}


def _facts(model: ImageGenerator | ImageTranslator) -> Rows:
    size = {"parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}"}
    if isinstance(model, ImageTranslator):
        height, width = height_and_width(model.size)
        domains = {f"domain {model.names[name]}": COLOURS[channels] for name, channels in model.channels.items()}
        one_way = {} if len(model.ways) > 1 else {"translates": f"{model.direction(model.ways[0])} alone"}
        return {"kind": "translator", **one_way, **domains, "trained at": f"{width} x {height} pixels", **size}
    facts = {"kind": "generator", "pictures": f"{model.size} x {model.size} pixels", **size}
    if model.classes:
        facts["classes"] = printable(", ".join(model.classes))
    return facts


def _flat(values: Any, prefix: str = "") -> Rows:
    """Settings as texts, those in other mappings by both names; what is not set is left out."""
    rows: Rows = {}
    if not isinstance(values, Mapping):
        return rows
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows |= _flat(value, f"{prefix}{name} ")
        elif value is not None:
            rows[printable(f"{prefix}{name}".replace("_", " "))] = _text(value)
    return rows


def _text(value: Any) -> str:
    """A value of config.json; of a path its last name alone, since the page is for others than its owner."""
    if isinstance(value, str):
        value = value.replace("\\", "/")  # not as PureWindowsPath: since Python 3.12 it takes 3: of 3:2 for a drive
        return printable(PurePosixPath(value).name or "-")
    return f"{value:,}" if type(value) is int else printable(str(value))


def _scores(run: Path, names: DomainNames) -> Rows:
    if not any((run / RECORDS).glob("*.json")):
        return {}
    try:
        cards = records_of(run)
    except UserError as error:
        logger.warning("the page shows no scores of %s: %s", run, error)
        return {}
    scores: dict[str, list[str]] = {}  # of one name there may be several, measured in different ways
    for row in record_rows(cards):
        reference = "" if row["reference"] == "0" else f", reference {row['reference']}"
        scores.setdefault(way_in_words(row["score"], names), []).append(
            f"{row['value']} ({row['generated']} images{reference})"
        )
    return {printable(name): printable("; ".join(texts)) for name, texts in scores.items()}
