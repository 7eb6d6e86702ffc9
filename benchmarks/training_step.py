"""Time one training iteration of both methods on bundled images, in small sizes that two cores carry.

Method: every case runs WARM_UP iterations, then the cases take turns for ROUNDS rounds of one iteration each, so that
whatever else the machine does falls on all alike. Reported are the median and the quartiles of the seconds, as JSON.
Only ratios within one such run mean anything: machines drift.
"""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from ganshift.dual.config import PRESETS as DUAL_PRESETS
from ganshift.dual.config import DualConfig
from ganshift.dual.train import new_job as new_dual
from ganshift.runtime.run_folder import versions
from ganshift.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.transfer.config import TransferConfig
from ganshift.transfer.train import new_job as new_transfer

WARM_UP = 3
ROUNDS = 15
NOWHERE = Path(os.devnull)


def cases():
    """Jobs by name."""
    digits = {**TRANSFER_PRESETS["demo"], "data": Path("bundled:digits"), "out": NOWHERE}
    drawings = {**DUAL_PRESETS["demo"], "data": Path("bundled:photo-sketch"), "out": NOWHERE}
    return {
        "transfer, preset demo (32 px, width 32, batch 32, 2 critic steps)": new_transfer(TransferConfig(**digits)),
        "dual, preset demo (64 px, width 24, batch 1)": new_dual(DualConfig(**drawings)),
    }


def main():
    """Measure and print."""
    jobs = cases()
    batches = {name: job.batches(0) for name, job in jobs.items()}
    seconds = {name: [] for name in jobs}
    for number in range(WARM_UP + ROUNDS):
        for name, job in jobs.items():
            started = time.perf_counter()
            # From the second iteration on: in the first, transfer's generator does not move.
            job.iterate(next(batches[name]), (number + 1) * job.images_per_iteration, 10**9)
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - started)
    results = {}
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4)
        results[name] = {
            "seconds per iteration": {"median": round(median, 4), "quartiles": [round(low, 4), round(high, 4)]},
            "images per second": round(jobs[name].images_per_iteration / median, 1),
        }
    machine = {"platform": platform.platform(terse=True), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    json.dump({"results": results, "machine": machine, "versions": versions()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
