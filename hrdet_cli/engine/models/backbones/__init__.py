"""Networks that make feature maps of pixels."""
