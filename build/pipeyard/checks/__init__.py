"""Checks that components, their programs, environments and pipelines keep what they promise each other."""
