"""A fuzz target for all readers of foreign bytes: pictures, zips, CIFAR batches and checkpoints.

    python tests/fuzz/readers.py -max_total_time=600 corpus/

is a libFuzzer run by atheris; without atheris, `read_anything` is any fuzzer's target.
"""

import atexit
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

if __name__ == "__main__":
    import atheris

    watched = atheris.instrument_imports(include=["ganshift.data", "ganshift.training", "PIL", "zipfile", "pickle"])
else:
    watched = nullcontext()

with watched:  # the fuzzer looks for inputs that reach new lines of these
    from ganshift.data.images import UnreadableImage, bombs_are_errors, load_picture, open_picture
    from ganshift.data.open import open_images
    from ganshift.data.pixel_formats import load_formatted
    from ganshift.errors import UserError
    from ganshift.inference.video import is_animation, translate_animation
    from ganshift.training import checkpoint, run_folder

FOLDER = Path(tempfile.mkdtemp(prefix="ganshift-fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
NUM_READERS = 5


def read_anything(data: bytes) -> None:
    """Give bytes to the reader that the first of them chooses; only errors for users may come back."""
    if not data:
        return
    reader, content = data[0] % NUM_READERS, data[1:]
    folder = FOLDER / str(reader)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with bombs_are_errors():
            if reader == 0:
                load_picture(content, for_size=8)
            elif reader == 1:
                picture = open_picture(content)
                if is_animation(picture):
                    translate_animation(picture, lambda original: original)
                else:
                    load_formatted(content).to_png()
            elif reader == 2:
                (folder / "x.zip").write_bytes(content)
                open_images(folder / "x.zip", 8)
            elif reader == 3:
                (folder / "data_batch_1").write_bytes(content)
                open_images(folder, 32)
            else:
                (folder / "000000000001.pt").write_bytes(content)
                (folder / run_folder.LOG).write_bytes(content)
                run_folder.read_log(folder / run_folder.LOG)
                checkpoint.load_latest(folder)
    except (UnreadableImage, UserError):
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_anything)
    atheris.Fuzz()
