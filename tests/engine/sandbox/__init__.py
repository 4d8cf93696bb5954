"""A container engine, a registry and a Python image of their own, on a machine that has none to share.

Used by the tests in this folder and by the benchmark of images. Nothing of it outlives the process that started it, but
for one that is killed.
"""
