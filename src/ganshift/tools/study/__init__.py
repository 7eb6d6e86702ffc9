"""Studies: a grid of ordinary runs described by a recipe, trained, measured and laid side by side."""
