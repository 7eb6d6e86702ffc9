"""What everything costs on this machine: `ganshift bench`, and the method that `make bench` shares."""

from typing import Literal

Group = Literal["memory", "start-up", "training", "sampling", "translation", "evaluation", "growth", "length"]
"""What can be measured by itself; no torch here, for `--help`."""
