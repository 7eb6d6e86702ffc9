"""One self-contained HTML page that shows what training runs did.

A page is made of chapters, and a chapter of figures. `transfer_chapter` and `dual_chapter` build theirs from run
folders, `environment` says what a run was made with, and `render` writes the page.
"""

from .chapters import dual_chapter, transfer_chapter
from .page import Chapter, Figure, Listing, Panels, Part, Slider, Table, render
from .runs import environment, evolution, loss_curves, plot_curves

__all__ = [
    "Chapter",
    "Figure",
    "Listing",
    "Panels",
    "Part",
    "Slider",
    "Table",
    "dual_chapter",
    "environment",
    "evolution",
    "loss_curves",
    "plot_curves",
    "render",
    "transfer_chapter",
]
