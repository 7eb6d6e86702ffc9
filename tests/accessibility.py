"""What keeps somebody from using a page: violations of WCAG as axe finds them, and places lost to the keyboard."""

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from ganshift.files import cache_folder

SCREENS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
AXE = "axe-core@4.10.3"
AXE_INTEGRITY = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter(each => each.checkVisibility() && !each.disabled).map(each => each.outerHTML.slice(0, 200))"""
"""What the Tab key should come to, in the order of the document."""
STOP = """() => {
  const stop = document.activeElement;
  if (stop === document.body) return null;
  const around = [stop, stop.closest(":focus-within:not(html, body, main)"), stop.parentElement];
  const { top, bottom, left, right } = stop.getBoundingClientRect();
  return {
    html: stop.outerHTML.slice(0, 200),
    outlined: around.some(each => getComputedStyle(each).outlineStyle !== "none"),
    onScreen: bottom > 0 && right > 0 && top < innerHeight && left < innerWidth,
  };
}"""
"""Where the focus is."""


@cache
def axe() -> str:
    """The script that finds what not everybody can use, from the npm registry, once."""
    kept = cache_folder() / "axe-core-4.10.3.tgz"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", AXE, "--silent"], cwd=folder, check=True, timeout=300, capture_output=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes((Path(folder) / kept.name).read_bytes())
    content = kept.read_bytes()
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == AXE_INTEGRITY
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def barriers(page):
    """Rules that the page breaks seriously or critically, each with the HTML of an element that breaks it."""
    page.evaluate(axe())
    return [
        (violation["id"], node["html"])
        for violation in page.evaluate("axe.run(document)")["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def lost_to_the_keyboard(page):
    """What the Tab key does not come to in the order of the document, or where the focus cannot be seen."""
    expected, found, lost = page.evaluate(STOPS), [], []
    page.evaluate("document.activeElement.blur()")
    for _ in range(len(expected) + 1):
        page.keyboard.press("Tab")
        if (stop := page.evaluate(STOP)) is None:
            break
        found.append(stop["html"])
        lost += [(what, stop["html"]) for what in ("outlined", "onScreen") if not stop[what]]
    return lost if found == expected else [*lost, ("order", found, expected)]


def in_the_way(page):
    """Both, also of what is folded: nothing of it is found while it is hidden."""
    folded = lost_to_the_keyboard(page)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    return [*folded, *barriers(page), *lost_to_the_keyboard(page)]
