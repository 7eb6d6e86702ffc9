"""Runs the command line: `python -m ganshift`."""

import sys

from .cli import main

sys.exit(main())
