"""Batches, detections and curves as pictures; others save them."""
