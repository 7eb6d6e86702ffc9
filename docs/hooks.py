"""What mkdocs does with these pages before it builds them."""

import re
from typing import Any

from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Leave only the text of links that lead out of docs/: the files behind them are no part of the site."""
    way_out = re.escape("../" * (page.file.src_uri.count("/") + 1))
    return re.sub(rf"\[([^\]]+)\]\({way_out}[^)]+\)", r"\1", markdown)
