"""Measurements that `make bench` runs; nothing here passes or fails."""
