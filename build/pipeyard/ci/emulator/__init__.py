"""Executes a build on this machine, as Cloud Build would.

execution        from a build's file to its end
causes           what a build is started with: by hand, or as a trigger would
workspaces       the folder that it works in
build_scheduler  a step starts when what it waits for has succeeded
processes        what runs a step: a process, or a container
"""
