#!/bin/sh
# Everything that cannot be known without an accelerator, in at most 8 minutes on one GPU and with the packages of
# pyproject.toml alone. Start it in the root of the repository; the figures go to build/accelerator.json.
set -eu
PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-.venv/bin/python}" -m benchmarks.accelerator "$@"
