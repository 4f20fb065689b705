"""A trained detector in, COCO's numbers, detections and pictures out."""
