"""How the pages and cards that this package writes are filled in; the templates are beside it, in `templates/`."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(*, html: bool, **settings: Any) -> Environment:
    """The templates, in which a name that is not given is an error; in `html`, texts are escaped."""
    return Environment(
        loader=PackageLoader("ganshift"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )
