"""The machine and the network below everything: nothing here knows of pipelines.

files         files that appear whole or not at all; folders that one process at a time changes
yamls, jsons  YAML without Python objects and JSON that somebody else wrote: the client of components reads them
process       one process, its group and its log, with an end in bounded time
apart         a function called in a process of its own, which ends with its caller
marks         what a process has left behind, found by its environment
logs          the end of a log, bounded whatever was printed
memory        how much memory is available
retries       which failures of a call are transient, and how often and how long it is repeated
polling       how long to wait before one looks again
google_login  the message for missing or refused Google credentials
bucket        Cloud Storage: what is written stays, and what moves, moves from what was seen
"""
