"""What watches a run: its best evaluation, stalled scores, signs of collapse."""
