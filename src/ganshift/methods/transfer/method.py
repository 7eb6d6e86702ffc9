"""Transferring GANs (Wang et al. 2018): teach a pretrained generator a few hundred images."""

from typing import TYPE_CHECKING

from ..method import Help, Method
from ..words import words_from
from .advice import advise
from .config import PRESETS, WORDS, TransferConfig

if TYPE_CHECKING:
    from ...data.folders import Split
    from ..importing import TensorFlowImport
    from .model import Generator
    from .trainer import TransferTrainer


def _trainer() -> "type[TransferTrainer]":
    from .trainer import TransferTrainer

    return TransferTrainer


def _model() -> "type[Generator]":
    from .model import Generator

    return Generator


def _held_out_split(config: TransferConfig) -> "Split":
    from .evaluation import held_out_split

    return held_out_split(config)


def _tensorflow() -> "TensorFlowImport":
    from .importing import TRANSFER_IMPORT

    return TRANSFER_IMPORT


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
    trainer=_trainer,
    model=_model,
    words=words_from(WORDS["report"]),
    advise=advise,
    held_out_split=_held_out_split,
    steady={"linear_decay": False},
    tensorflow=_tensorflow,
)
