"""One self-contained HTML page that shows what training runs did.

`write_report` makes one of run folders. A page is made of chapters, and a chapter of parts: studies and the demo bring
some of their own, and `render` writes a page of any.
"""

from .chapters import ChapterNotes
from .page import Chapter, Commands, Facts, Figure, Listing, Notices, Panels, Part, Slider, Table, render
from .pictures import to_png
from .plots import looks, plot_curves
from .runs import Run, environment, open_run
from .writing import PAGE, write_report

__all__ = [
    "PAGE",
    "Chapter",
    "ChapterNotes",
    "Commands",
    "Facts",
    "Figure",
    "Listing",
    "Notices",
    "Panels",
    "Part",
    "Run",
    "Slider",
    "Table",
    "environment",
    "looks",
    "open_run",
    "plot_curves",
    "render",
    "to_png",
    "write_report",
]
