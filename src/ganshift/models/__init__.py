"""Generator and Translator: the only door to trained models."""

from .generator import SAMPLING_BATCH, Generator, Rows, draw_latents
from .pretrained import Pretrained
from .translator import AT_ONCE_PIXELS, MAX_SIDE, Domain, Translator, other_domain

__all__ = [
    "AT_ONCE_PIXELS",
    "MAX_SIDE",
    "SAMPLING_BATCH",
    "Domain",
    "Generator",
    "Pretrained",
    "Rows",
    "Translator",
    "draw_latents",
    "other_domain",
]
