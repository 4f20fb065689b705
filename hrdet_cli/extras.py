"""Packages that hrdet needs for some things only, and the line that installs them. Every layer may use it."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from hrdet_cli.wording import command

EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "timm": ("timm>=1.0.20",),
        "safetensors": ("safetensors>=0.6.2",),
        "hub": ("huggingface-hub>=0.34", "safetensors>=0.6.2"),
        "tensorboard": ("tensorboard>=2.20",),
        "wandb": ("wandb>=0.22",),
        "mlflow": ("mlflow-skinny>=3.4",),
        "supervision": ("supervision>=0.26",),
        "export": ("onnx>=1.19", "onnxscript>=0.7", "onnxruntime>=1.22"),
    }
)
"""Requirements by the name of the extra in pyproject.toml, which a test compares."""


def install_command(extra: str) -> str:
    """A command line that installs an extra's packages into the environment that hrdet runs in.

    It names the packages: ``hrdet[...]`` would work only where a package index has hrdet.
    """
    return command(sys.executable, "-m", "pip", "install", *EXTRAS[extra])
