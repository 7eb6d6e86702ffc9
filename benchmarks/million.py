"""What opening a million small images costs, for the first time and again, each in a process of its own, as JSON lines.

The images are made in a scratch folder: gray PNG files of 8 x 8 pixels in a thousand class folders. Memory is how much
the process grows after its imports, in 10^6 bytes: at its largest, and once the set is open. Processor seconds are
those of all processes together, which other programs on the machine change less than the time.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.memory import status
from ganshift.data.open import open_images
from ganshift.data.sampling import order

CLASSES = 1000


def picture(value):
    """The file of one gray level."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, "PNG")
    return buffer.getvalue()


def make(kind, count, place):
    """A zip, a tar, a folder or a Parquet table of so many images."""
    pictures = [picture(value) for value in range(256)]
    files = ((f"class{i % CLASSES:04d}/image_{i:08d}.png", pictures[i % 256]) for i in range(count))
    if kind == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, content in files:
                archive.writestr(name, content)
    elif kind == "tar":
        with tarfile.open(place, "w") as archive:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    elif kind == "folder":
        for number in range(CLASSES):
            (place / f"class{number:04d}").mkdir(parents=True)
        for name, content in files:
            (place / name).write_bytes(content)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        images = [{"bytes": pictures[i % 256]} for i in range(count)]
        pq.write_table(
            pa.table({"image": images, "label": [i % CLASSES for i in range(count)]}), place, row_group_size=1000
        )


def processor_seconds():
    """Of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(place):
    """Open the set, and draw the order of an epoch, in this process."""
    before, used, started = status("VmRSS"), processor_seconds(), time.perf_counter()
    images = open_images(place, 64, memory_budget_bytes=0)
    opened, used = time.perf_counter(), processor_seconds() - used
    largest, after = status("VmHWM") - before, status("VmRSS") - before
    shown = [order(np.arange(first, first + 64), len(images), 0) for first in range(0, len(images) - 63, 64)]
    ordered = time.perf_counter()
    images.read(shown[0])
    return {
        "images": len(images),
        "seconds": round(opened - started, 2),
        "processor_seconds": round(used, 2),
        "megabytes_at_most": round(largest / 1e6),
        "megabytes": round(after / 1e6),
        "order_seconds": round(ordered - opened, 2),
        "order_megabytes": round((status("VmHWM") - before - largest) / 1e6),
        "hash": images.content_hash[:16],
    }


def main():
    """Make the images and open them twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("zip", "tar", "folder", "parquet"), default="zip")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder in which the images stay for the next time")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        sys.stdout.write(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = (options.keep or Path(scratch)) / f"{options.count}"
        if options.kind != "folder":
            place = place.with_suffix(f".{options.kind}")
        if not place.exists():
            make(options.kind, options.count, place)
        command = [sys.executable, "-m", "benchmarks.million", "--measure", str(place)]
        for opening in ("first", "second"):
            found = subprocess.check_output(command, env={**os.environ, "XDG_CACHE_HOME": scratch})
            sys.stdout.write(json.dumps({"kind": options.kind, "opening": opening, **json.loads(found)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
