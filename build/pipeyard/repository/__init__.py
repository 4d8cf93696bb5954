"""The monorepo as the toolchain sees it: its parts, its commits, what a change reaches."""
