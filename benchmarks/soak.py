"""Memory and open files of long runs: both methods, small, with evaluations, and checkpoints every few seconds.

    python -m benchmarks.soak [--minutes N] [--only METHOD...] [--out FOLDER] [--json]

Each method runs as a command of its own, one after the other, until it is asked to stop; meanwhile its resident memory,
open files and threads are read from /proc every few seconds. The first fifth of the time, in which caches fill, is
shown apart; what grows would grow in the rest.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import machine, show
from ganshift.training.log import say

COMMANDS = {
    "transfer": ["transfer", "--preset", "tiny", "--data", "bundled:digits", "--checkpoint-every", "256"],
    "dual": ["dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--checkpoint-every", "32"],
}
MORE = {
    "transfer": [
        "--sample-every",
        "512",
        "--evaluate-every",
        "4096",
        "--evaluate-images",
        "100",
        "--ema-images",
        "100",
    ],
    "dual": ["--sample-every", "64", "--evaluate-every", "64", "--evaluate-images", "20", "--ema-images", "100"],
}
EVERY = 5.0
"""Seconds between two looks."""
WARM_UP = 0.2
"""The share of the time in which growth is expected."""


def look(pid):
    """Resident megabytes, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "megabytes": int(status["VmRSS"].split()[0]) / 1000,
        "files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "threads": int(status["Threads"]),
    }


def soak(method, minutes, out):
    """Run a method for so long; its row, with what was seen in the beginning and in the end."""
    command = [sys.executable, "-m", "ganshift", *COMMANDS[method], *MORE[method]]
    process = subprocess.Popen([*command, "--images", "1000000000", "--out", str(out)], stderr=subprocess.DEVNULL)
    seen = []
    started = time.monotonic()
    while time.monotonic() - started < 60 * minutes and process.poll() is None:
        time.sleep(EVERY)
        if (out / "log.jsonl").exists():
            seen.append({"minutes": (time.monotonic() - started) / 60, **look(process.pid)})
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    assert code == 128 + signal.SIGTERM, f"{method} ended by itself, with {code}"
    first = int(len(seen) * WARM_UP)
    slope = statistics.linear_regression(
        [each["minutes"] for each in seen[first:]], [each["megabytes"] for each in seen[first:]]
    ).slope
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    row = {"what": method, "minutes": seen[-1]["minutes"], "images": last["images"]}
    for name in ("megabytes", "files", "threads"):
        early, late = (
            statistics.median(each[name] for each in part) for part in (seen[first : 2 * first], seen[-first:])
        )
        row |= {f"{name}, second fifth": early, f"{name}, last fifth": late}
    return row | {
        "most megabytes": max(each["megabytes"] for each in seen),
        "most files": max(each["files"] for each in seen),
        "megabytes an hour, after the first fifth": 60 * slope,
    }


def main():
    """Soak both methods and show what was seen."""
    what = argparse.ArgumentParser(description="memory and open files of long runs")
    what.add_argument("--minutes", type=float, default=30.0, help="for each method")
    what.add_argument("--only", choices=sorted(COMMANDS), nargs="+", default=sorted(COMMANDS))
    what.add_argument("--out", type=Path, help="where the runs go; a temporary folder if left out")
    what.add_argument("--json", action="store_true")
    options = what.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        rows = []
        for method in options.only:
            say(f"{method} for {options.minutes:g} minutes")
            rows.append(soak(method, options.minutes, out / method))
    show({"groups": {"soak": rows}, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
