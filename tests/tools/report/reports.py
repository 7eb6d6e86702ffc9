"""A page as its elements and its text, and pictures to put on one."""

from html.parser import HTMLParser

import numpy as np
from PIL import Image

from ganshift.data.images import png_of
from ganshift.tools import report

MARKUP = "<script>alert('x')</script> & \"quoted\" $\\frac{ \u202e\x1b[31m"
SHOWN = MARKUP.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
"""What becomes of it on a page: text, of which nothing is invisible."""
VOID = {"meta", "img", "input", "br", "link", "path"}


class Page(HTMLParser):
    """Elements in order, as (name, attributes), and the text outside of scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        if tag in {"td", "th"}:
            self.text += "|"

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def all(self, tag, *needed):
        return [attrs for name, attrs in self.elements if name == tag and all(key in attrs for key in needed)]


def page_of(runs, path, **settings):
    """The page of run folders."""
    report.write_report(runs, path, **settings)
    return Page(path.read_text(encoding="utf-8"))


def pixels(channels, side=8, seed=0):
    """A picture of noise as PNG."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 256, (side, side, channels), dtype=np.uint8).repeat(3 // channels, axis=2)
    return png_of(Image.fromarray(values))
