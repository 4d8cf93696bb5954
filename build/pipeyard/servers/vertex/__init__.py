"""Vertex AI Pipelines, and the Artifact Registry that keeps templates for it."""
