"""What whoever wrote weights does otherwise, and which presets have it: what tensors do not show."""
