"""What mkdocs does with these pages before it builds them."""

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave the text of links out of docs/ alone: the files they lead to are no part of the site."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
