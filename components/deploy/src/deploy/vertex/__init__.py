"""Vertex AI's Model Registry and Endpoints as what serves: online prediction, not pipelines."""
