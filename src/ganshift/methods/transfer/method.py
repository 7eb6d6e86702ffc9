"""Transferring GANs (Wang et al. 2018): teach a pretrained generator a few hundred images."""

from typing import TYPE_CHECKING

from ...training.config import BUDGET, MACHINE, WATCHING
from ..method import OTHERS, Help, Method
from .advice import advise
from .config import PRESETS, TransferConfig
from .words import WORDS

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
    help=Help(
        examples="""
        ganshift transfer --data my-images/ --preset small --out runs/mine
        ganshift transfer --data my-images/ --preset small --source runs/other --out runs/mine
        ganshift transfer --data my-images/ --preset small --images 20000 --out runs/mine --dry-run
        ganshift transfer --data class-folders/ --conditioning acgan --subset 500 --out runs/classes
        """,
        presets=(
            "Settings to start from; the other options change them. few-shot: 1,000 iterations with "
            "augmentation, for 50 to 500 images; cifar10 and authors64: the published runs from scratch, at "
            "32 and 64 pixels. These three want an accelerator. small: narrow networks for one or two "
            "processor cores; demo: minutes; tiny: seconds, to see that everything works."
        ),
        groups={
            "main": ("preset", "data", "source", "out", "dry_run"),
            "budget": BUDGET,
            "data": ("size", "channels", "subset", "subset_seed", "flip", "dequantize"),
            "source": ("load", "freeze_critic"),
            "network": (
                "architecture",
                "conditioning",
                "width",
                "generator_width",
                "critic_width",
                "generator_norm",
                "critic_norm",
            ),
            OTHERS: (),
            "watching": WATCHING,
            "machine": MACHINE,
        },
    ),
    networks=("generator", "critic"),
    trainer=_trainer,
    model=_model,
    words=WORDS,
    advise=advise,
    held_out_split=_held_out_split,
    steady={"linear_decay": False},
    tensorflow=_tensorflow,
)
