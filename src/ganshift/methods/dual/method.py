"""DualGAN (Yi et al. 2017): learn to translate between two unpaired folders of images."""

from typing import TYPE_CHECKING

from ...training.config import BUDGET, MACHINE, WATCHING
from ..method import OTHERS, Help, Method
from .advice import advise
from .config import PRESETS, DualConfig
from .words import WORDS

if TYPE_CHECKING:
    from ..importing import TensorFlowImport
    from .model import Translator
    from .trainer import DualTrainer


def _trainer() -> "type[DualTrainer]":
    from .trainer import DualTrainer

    return DualTrainer


def _model() -> "type[Translator]":
    from .model import Translator

    return Translator


def _tensorflow() -> "TensorFlowImport":
    from .importing import DUAL_IMPORT

    return DUAL_IMPORT


DUAL = Method(
    name="dual",
    kind="translator",
    domains=2,
    summary="learn to translate between two unpaired folders of images",
    config=DualConfig,
    presets=PRESETS,
    default_preset="sketch-photo",
    help=Help(
        examples="""
        ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings
        ganshift dual --data facades.zip --out runs/facades
        ganshift dual --data bundled:photo-sketch --preset small --aspect 3:2 --out runs/wide --dry-run
        """,
        presets=(
            "Settings to start from; the other options change them. sketch-photo, facades and day-night: the"
            " published runs at 256 pixels, which want an accelerator. small: 64 pixels and narrow networks "
            "for one or two processor cores; demo: minutes; tiny: seconds, to see that everything works."
        ),
        groups={
            "main": ("preset", "data", "a", "b", "out", "dry_run"),
            "budget": BUDGET,
            "data": ("size", "aspect", "channels_a", "channels_b", "flip"),
            "network": ("architecture", "generator_width", "critic_width", "levels", "dropout"),
            OTHERS: (),
            "watching": WATCHING,
            "machine": MACHINE,
        },
    ),
    networks=("gen_ab", "gen_ba"),
    trainer=_trainer,
    model=_model,
    words=WORDS,
    advise=advise,
    tensorflow=_tensorflow,
)
