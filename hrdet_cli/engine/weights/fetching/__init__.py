"""Weights from elsewhere: downloads into a cache, the Hugging Face hub, timm."""
