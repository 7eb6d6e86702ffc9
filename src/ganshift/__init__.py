"""ganshift moves GANs and images between domains."""

__version__ = "0.1.0"
