"""Servers that tests, documentation and `pipeyard ci run` use instead of those on the network."""
