"""The methods, one folder each, and what they share; registry.py knows which there are."""
