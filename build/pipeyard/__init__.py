"""Pipeyard's toolchain: builds, checks, compiles, runs and ships Kubeflow Pipelines components and pipelines."""
