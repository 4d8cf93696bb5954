"""Kubeflow Pipelines' API, as far as what is built here goes there."""
