"""hrdet beside mmdetection 3.3 and torchvision: same weights, pictures and numbers. See docs/parity.md."""
