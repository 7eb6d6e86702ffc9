"""Trained models as a web app and an HTTP API: `ganshift serve`."""
