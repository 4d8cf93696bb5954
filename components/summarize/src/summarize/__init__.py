"""Writes the summary of a run when it ends, however it ends."""
