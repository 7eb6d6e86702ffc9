"""What every training run needs: budget, cadences, log, checkpoints, resume; knows no training method."""
