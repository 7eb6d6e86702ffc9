"""What everything costs on this machine: `ganshift bench`, and the method that benchmarks/compare.py shares."""
