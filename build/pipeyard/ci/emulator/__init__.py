"""Executes a build on this machine, as Cloud Build would."""
