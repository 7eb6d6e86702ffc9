"""The data sets that the published DualGAN code knows by name (Yi et al. 2017), and where their images came from.

What is said here is from the README and the download script of github.com/duxingren14/DualGAN, and from the paper's
references. Its download is gone, so that a name finds files of the user's only.
"""

from collections.abc import Mapping

HOST = "www.cs.mun.ca"
"""Where the published script got all of these sets; in April 2025 a user found it gone (issue 1 there)."""
PLACES = ("datasets/{}", "datasets/{}.zip", "{}.zip")
"""Where a set of a name may lie, seen from the current folder; the published code reads the first."""

_NO_ORIGIN = "The published code names no other source than its own host"
_MATERIALS = (
    "According to the paper's references they are from the Flickr Material Database (Sharan, Rosenholtz and Adelson)"
)

PUBLISHED: Mapping[str, str] = {
    "sketch-photo": "sketches of faces (A) and photographs of faces (B). They came from the CUHK face sketches, CUFSF "
    "(mmlab.ie.cuhk.edu.hk/archive/cufsf)",
    "facades": "label maps and photographs of building fronts. They came from the CMP Facade Database "
    "(cmp.felk.cvut.cz/~tylecr1/facade)",
    "day-night": f"outdoor scenes by day and by night. {_NO_ORIGIN}",
    "oil-chinese": f"oil paintings and Chinese paintings. {_NO_ORIGIN}",
    "plastic-metal": f"photographs of things made of plastic and of metal. {_MATERIALS}",
    "metal-stone": f"photographs of things made of metal and of stone. {_MATERIALS}",
    "leather-fabric": f"photographs of things made of leather and of fabric. {_MATERIALS}",
    "plastic-wood": f"photographs of things made of plastic and of wood. {_MATERIALS}",
}
"""What the images of each show and where they came from. Which domain is A is said for the one set of which results
elsewhere (github.com/moono/GANs) show it."""
