"""Training any method: settings, the loop, what is on disk, processes and precision."""
