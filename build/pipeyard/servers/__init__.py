"""Clients of the servers that run pipelines. They know nothing of deployments.

kubeflow  Kubeflow Pipelines
vertex    Vertex AI, and the Artifact Registry that keeps templates for it
outcome   how a run ended, whichever server it was on
"""
