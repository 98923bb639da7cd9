"""Metrics, health and the introduction of a node, over HTTP."""
