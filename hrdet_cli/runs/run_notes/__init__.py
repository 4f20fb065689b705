"""What can ruin a run without being an error: looked for before it starts. Does not import torch."""
