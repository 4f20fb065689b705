"""The marks of tests that need a GPU, which ``pytest -m gpu`` runs."""

import pytest
import torch

NEEDS_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, which -m gpu alone shows"),
]
