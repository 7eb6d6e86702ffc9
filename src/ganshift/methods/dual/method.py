"""DualGAN (Yi et al. 2017): learn to translate between two unpaired folders of images."""

from pkgutil import resolve_name

from ..method import Help, Method
from ..words import words_from
from .advice import advise
from .config import PRESETS, WORDS, DualConfig

_HERE = "ganshift.methods.dual"  # what is named below it needs torch, and is imported when it is asked for

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
    trainer=lambda: resolve_name(f"{_HERE}.trainer:DualTrainer"),
    model=lambda: resolve_name(f"{_HERE}.model:Translator"),
    words=words_from(WORDS["report"]),
    advise=advise,
    imports=lambda: resolve_name(f"{_HERE}.importing:FORMATS"),
)
