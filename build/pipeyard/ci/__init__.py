"""The delivery flow on CI servers: rendered from one description, linted, and executed on this machine."""
