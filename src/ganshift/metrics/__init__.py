"""Scores of generated and translated images, and the feature extractors they rest on; knows no training method."""
