"""Recipes of tiny studies."""

TINY = """
about = "Does anything change?"
published = "Nowhere."
method = "transfer"

[settings]
preset = "tiny"
data = "bundled:faces"
images = 48

[grid]
augment = [{ label = "no", augment = "" }, "color"]
seed = [0, 1]

[evaluation]
metrics = ["fid", "kid"]
num_images = 64
"""
"""Four cells of seconds."""


def write_recipe(folder, text=TINY, name="tiny"):
    """A recipe's file in a folder."""
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path
