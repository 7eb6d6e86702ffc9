"""Peak memory and time of translating one large picture at once and in bands, each in a process of its own, as JSON.

The network is the published one (8 levels, width 64, three channels) with fresh weights. Memory is the growth of the
process's largest resident size during the translation.
"""

import json
import resource
import subprocess
import sys
import time

import torch

from ganshift.methods.dual.networks import UNet
from ganshift.methods.dual.tiled import translate_tiled
from ganshift.training.run_folder import versions

HEIGHT, WIDTH = 2000, 3000


def measure(how):
    """Translate once, in this process."""
    torch.manual_seed(0)
    network = UNet(3, 3).eval()
    image = torch.rand(1, 3, HEIGHT, WIDTH) * 2 - 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with torch.no_grad():
        network(image) if how == "at once" else translate_tiled(network, image)
    seconds = time.perf_counter() - started
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": round(seconds, 1), "gigabytes": round(kilobytes / 1e6, 2)}


def main():
    """Measure both."""
    if len(sys.argv) > 1:
        json.dump(measure(sys.argv[1]), sys.stdout)
        return
    command = [sys.executable, __file__]
    results = {how: json.loads(subprocess.check_output([*command, how])) for how in ("at once", "in bands")}
    threads = torch.get_num_threads()
    json.dump({"picture": [HEIGHT, WIDTH], **results, "threads": threads, "versions": versions()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
