"""Clients of the servers that run pipelines."""
