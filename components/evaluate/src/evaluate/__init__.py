"""Evaluates a model with TFMA, against thresholds and the champion."""
