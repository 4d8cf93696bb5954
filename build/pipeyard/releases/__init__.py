"""What `pipeyard release` publishes."""
