"""Layers that look like torch.nn's; the tricks that make them fast live behind them."""
