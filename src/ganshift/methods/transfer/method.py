"""Transferring GANs (Wang et al. 2018): teach a pretrained generator a few hundred images."""

from pkgutil import resolve_name

from ..method import Help, Method
from ..words import words_from
from .advice import advise
from .config import PRESETS, WORDS, TransferConfig

_HERE = "ganshift.methods.transfer"  # what is named below it needs torch, and is imported when it is asked for

TRANSFER = Method(
    name="transfer",
    kind="generator",
    domains=1,
    summary="teach a pretrained generator a folder of images",
    config=TransferConfig,
    presets=PRESETS,
    default_preset="few-shot",
    help=Help(**WORDS["help"]),
    networks=("generator", "critic"),
    trainer=lambda: resolve_name(f"{_HERE}.trainer:TransferTrainer"),
    model=lambda: resolve_name(f"{_HERE}.model:Generator"),
    words=words_from(WORDS["report"]),
    advise=advise,
    held_out_split=lambda config: resolve_name(f"{_HERE}.evaluation:held_out_split")(config),
    imports=lambda: resolve_name(f"{_HERE}.importing:FORMATS"),
)
