"""What the reference does with docstrings: examples at Python's prompt become blocks of code."""

import re
from typing import Any

from griffe import Extension, Object


class Fences(Extension):
    """Markdown would take the prompt for quotations."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Put a fence around each run of lines from a prompt to an empty line."""
        if obj.docstring:
            block = r"^>>> .*(?:\n.+)*"
            obj.docstring.value = re.sub(block, r"```pycon\n\g<0>\n```", obj.docstring.value, flags=re.MULTILINE)
