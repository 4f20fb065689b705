"""Trackers: where a run's numbers, pictures and spec go beside its own folder."""
