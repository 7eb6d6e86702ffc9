"""Train a small translator, photographs to sketches: python examples/train_and_translate.py [IMAGES] [OUT]

The pictures ship with scikit-image and scikit-learn. 2000 IMAGES take some minutes on two cores and give sketches that
can be told; the 60 of the default take seconds and show that it works. The same command goes on where it stopped.
"""

import sys
from pathlib import Path

from ganshift import DualConfig, Translator, train_dual
from ganshift.data.bundled import photographs
from ganshift.inference.picture_files import picture_grid
from ganshift.methods.dual.config import PRESETS

images = int(sys.argv[1]) if len(sys.argv) > 1 else 60
out = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/sketches")

config = DualConfig(**PRESETS["demo"] | {"data": Path("bundled:photo-sketch"), "out": out, "images": images})
train_dual(config)

translator = Translator.from_pretrained(out)
photo = photographs()["chelsea"].resize((150, 100))  # any size will do
drawn = translator(photo, to="sketch")  # a Pillow picture, since one was given
back = translator(drawn, to="photo")
picture_grid([photo, drawn, back], columns=3).save(out / "chelsea.png")

translator.save_pretrained(out.with_name(f"{out.name}-to-share"))
print(f"wrote {out / 'chelsea.png'}, and a model to share with its card beside {out}")
