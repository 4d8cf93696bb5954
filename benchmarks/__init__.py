"""Measures Pipeyard against its peers: `.venv/bin/python -m benchmarks --help`."""
