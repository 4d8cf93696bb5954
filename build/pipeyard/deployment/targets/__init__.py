"""Where pipelines are deployed and run, a module a target."""
