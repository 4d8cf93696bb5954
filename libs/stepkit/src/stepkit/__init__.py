"""What Pipeyard components share."""
