"""DualGAN (Yi et al. 2017): learn to translate between two unpaired folders of images."""

from typing import TYPE_CHECKING

from ..method import Help, Method
from ..words import words_from
from .advice import advise
from .config import PRESETS, WORDS, DualConfig

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
    help=Help(**WORDS["help"]),
    networks=("gen_ab", "gen_ba"),
    trainer=_trainer,
    model=_model,
    words=words_from(WORDS["report"]),
    advise=advise,
    tensorflow=_tensorflow,
)
