"""Draw pictures and strips with a trained generator: python examples/generate_and_interpolate.py [MODEL] [OUT]

MODEL is a run folder of `ganshift transfer`, a bundled model (digits32 if left out), or an owner/model of the Hugging
Face hub. OUT is a folder for the three sheets.
"""

import sys
from pathlib import Path

from ganshift import Generator
from ganshift.inference.picture_files import picture_grid, write_rows

model = sys.argv[1] if len(sys.argv) > 1 else "digits32"
out = Path(sys.argv[2] if len(sys.argv) > 2 else "drawn")

generator = Generator.from_pretrained(model)
out.mkdir(parents=True, exist_ok=True)

# The same seed gives the same pictures.
picture_grid(generator.sample(64, seed=0)).save(out / "samples.png")
# Numbers of the latents that are far from 0 are redrawn: more typical pictures, which differ less.
picture_grid(generator.sample(64, seed=0, truncation=0.7)).save(out / "truncated.png")
# Eight strips, each from one picture of the seed to the next.
write_rows(generator.interpolate(steps=10, count=8, seed=0), out / "strips.png")

print(f"wrote samples.png, truncated.png and strips.png to {out}")
