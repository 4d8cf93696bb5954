"""The monorepo as the toolchain sees it. Everything is found in the tree; nothing is listed by hand.

project           its components, libraries, base images and pipelines
changes           which files changed, as git tells
commits           which commit is built, and what its images are tagged
dockerfiles       what an image is made of
dependency_graph  what a change of a file reaches
venvs             the locked environments of components
uv_locks          lock files that name no package index
"""
