"""How a new version of a served model gets its traffic, and what decides whether it keeps it."""
