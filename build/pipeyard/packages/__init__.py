"""What `pipeyard build` and `pipeyard compile` leave in `dist/`."""
