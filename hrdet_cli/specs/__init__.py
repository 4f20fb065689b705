"""Experiment specs: what a run is, validated before anything starts. Never imports torch."""
