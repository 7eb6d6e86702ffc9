"""Make the two zips of emoji that ship from the npm packages they come from.

    npm pack @lobehub/fluent-emoji-3d@1.1.0 @iconify-json/fluent-emoji-flat@1.2.6
    python -m benchmarks.emoji lobehub-fluent-emoji-3d-1.1.0.tgz iconify-json-fluent-emoji-flat-1.2.6.tgz

It writes src/ganshift/data/emoji.zip, all emoji in three dimensions, and emoji_flat.zip, flat drawings of half of those
to be learned and of all that are held out. Both have {train,test}/GROUP/CODE.webp, 128 x 128 with opacity. The same
archives make the same files with the same versions of Pillow, libwebp and resvg.
"""

import argparse
import hashlib
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import resvg_py
from PIL import Image, ImageOps

from ganshift.data.emoji import EMOJI, EMOJI_FLAT, SIDE
from ganshift.training.log import say

HELD_OUT, FLAT = 0.1, 0.55
"""Below the first share an emoji is held out; of the others, those below the second are learned flat, the rest not."""
LEFT_OUT = re.compile(r"1f3f[b-f]|200d")
"""Skin tones and joined sequences, which are near copies of other emoji."""


def plain(code):
    """Code points without fe0f, which only says that the character is to be drawn as a picture."""
    return "-".join(point for point in code.split("-") if point != "fe0f")


def share(code):
    """A number in [0, 1) for each emoji."""
    return int(hashlib.sha256(code.encode()).hexdigest()[:8], 16) / 2**32


def read_archive(path, suffix):
    """The files of a package with such names, by their name without folder and ending, in order."""
    with tarfile.open(path) as archive:
        files = {Path(member.name): member for member in archive if member.name.endswith(suffix)}
        return {file.stem: archive.extractfile(files[file]).read() for file in sorted(files)}


def square(data):
    """The picture of a file, as large as fits into the square that ships."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    return ImageOps.pad(picture, (SIDE, SIDE), Image.Resampling.LANCZOS)


def draw(icon):
    """The square picture of an icon, whose drawing is SVG on a square of 32 unless it says otherwise."""
    size = f"{icon.get('width', 32)} {icon.get('height', 32)}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">{icon["body"]}</svg>'
    return square(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, skip_system_fonts=True)))


def webp(picture, **settings):
    """The file of a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", method=6, **settings)
    return buffer.getvalue()


def write_zip(path, files):
    """A zip of these files that is the same whenever it is written."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    say(f"{len(files):,} pictures, {path.stat().st_size:,} bytes, are in {path}")


def build(solid_archive, flat_archive, folder, quality=50, alpha_quality=30):
    """Write both zips into a folder, from the archives of both packages."""
    solid = {plain(code): data for code, data in read_archive(solid_archive, ".webp").items()}
    tables = {name: json.loads(data) for name, data in read_archive(flat_archive, ".json").items()}
    icons, groups = tables["icons"]["icons"], tables["metadata"]["categories"]
    group_of = {icon: re.sub("[^a-z]+", "-", group.lower()) for group in groups for icon in groups[group]}
    solids, flats, seen = {}, {}, set()
    for code, icon in sorted((plain(code), icon) for code, icon in tables["chars"].items()):
        if code not in solid or LEFT_OUT.search(code) or group_of[icon] == "flags" or solid[code] in seen:
            continue
        seen.add(solid[code])  # one cat's face has two code points, in two groups
        name = f"{'test' if share(code) < HELD_OUT else 'train'}/{group_of[icon]}/{code}.webp"
        solids[name] = webp(square(solid[code]), quality=quality, alpha_quality=alpha_quality)
        if share(code) < FLAT:
            flats[name] = webp(draw(icons[icon]), lossless=True, quality=100)
    write_zip(folder / EMOJI.name, solids)
    write_zip(folder / EMOJI_FLAT.name, flats)


def main():
    """Make the files that ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("solid", type=Path, help="archive of @lobehub/fluent-emoji-3d")
    parser.add_argument("flat", type=Path, help="archive of @iconify-json/fluent-emoji-flat")
    chosen = parser.parse_args()
    build(chosen.solid, chosen.flat, EMOJI.parent)


if __name__ == "__main__":
    main()
