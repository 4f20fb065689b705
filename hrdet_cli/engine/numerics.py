"""What a device computes in, and by which algorithms.

Torch keeps most of this in settings of the whole process.  Here they are those of a piece of work, such as a
training step: set before it, and afterwards what they were.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.utils.deterministic
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.errors import SpecError

_NO_DETERMINISTIC_ALGORITHM = re.compile(r"(\S+) does not have a deterministic implementation")
_DETERMINISTIC: Any = torch.utils.deterministic  # modules that torch replaces by objects
_CUDNN: Any = torch.backends.cudnn
_CUBLAS_IS_NOT_DETERMINISTIC = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, kw_only=True, slots=True)
class Numerics:
    """How a detector is computed; by default in the dtype of its weights, as exactly as torch does it.

    Attributes:
        autocast: The reduced precision of the forward pass; None keeps that of the weights.
        tf32: Whether products of float32 matrices, and convolutions, may round what they multiply to 10 bits,
            as CUDA can. Torch's own default is that convolutions may and products may not.
        deterministic: Whether an operator that gives other bits each time is an error, and those that have a
            deterministic algorithm take it.
        tries_algorithms: Whether cuDNN tries which of its algorithms is the fastest at each new shape.
    """

    autocast: torch.dtype | None = None
    tf32: bool = False
    deterministic: bool = False
    tries_algorithms: bool = False

    @property
    def name(self) -> str:
        """Of the precision, as ``run.precision`` has it, for weights in float32."""
        if self.autocast is not None:
            return str(self.autocast).removeprefix("torch.")
        return "tf32" if self.tf32 else "float32"

    def forward_pass(self, device_type: str) -> torch.autocast:
        """What surrounds a forward pass on a device of a type such as ``cuda``."""
        return torch.autocast(device_type, dtype=self.autocast, enabled=self.autocast is not None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """What surrounds all work, the backward pass included.

        Raises:
            SpecError: An operator has no deterministic algorithm, and one was asked for.
        """
        before = _Settings.current()
        _Settings(
            float32=_Float32(self.tf32, self.tf32, ("tf32" if self.tf32 else "ieee",) * 3),
            cudnn_benchmark=self.tries_algorithms and not self.deterministic,
            deterministic=self.deterministic,
            warns_only=False,
            fills_memory=before.fills_memory and not self.deterministic,  # nothing reads what nothing wrote
        ).set()
        try:
            yield
        except RuntimeError as error:
            refused = _describe_refusal(error) if self.deterministic else None
            if refused is None:
                raise
            raise SpecError([f"run.deterministic: {refused}"]) from error
        finally:
            before.set()


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Computes in the dtypes that come in; costly enough to be entered only where it changes something."""
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def run_exactly(layer: nn.Conv2d | nn.Linear, values: Tensor) -> Tensor:
    """What a layer makes of values in the dtype of its weights, whatever autocast is told.

    For output layers: a logit in bfloat16 has 8 bits, so that many of those that a ranking has to tell apart
    are equal, and an offset of 100 pixels is off by a quarter of one.
    """
    with without_autocast(values.device.type):
        outputs: Tensor = layer(values.to(layer.weight.dtype))
    return outputs


def interpolate(features: Tensor, **how: Any) -> Tensor:
    """What ``torch.nn.functional.interpolate`` makes of them, in their dtype.

    Autocast interpolates in float32 on CUDA, in which all that is made with the result would stay.
    """
    interpolated: Tensor = F.interpolate(features, **how)
    return interpolated.to(features.dtype)


class _Float32(NamedTuple):
    """Torch's settings of what float32 means on CUDA, each of which can be told in two ways.

    Either alone may leave TF32 on, as where all of torch is told ``torch.backends.fp32_precision = "tf32"``.

    Attributes:
        matmul_tf32: Products of matrices may be in TF32, in the older way.
        cudnn_tf32: Likewise convolutions.
        names: In the newer way what products, convolutions and recurrent networks are in.
    """

    matmul_tf32: bool
    cudnn_tf32: bool
    names: tuple[str, str, str]

    @classmethod
    def current(cls) -> "_Float32":
        matmul, cudnn = torch.backends.cuda.matmul, _CUDNN
        names = (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)
        return cls(
            _read_unless_refused(lambda: matmul.allow_tf32, refused=names[0] != "tf32"),
            _read_unless_refused(lambda: cudnn.allow_tf32, refused=names[1:] != ("tf32", "tf32")),
            names,
        )

    def set(self) -> None:
        matmul, cudnn = torch.backends.cuda.matmul, _CUDNN
        matmul.allow_tf32, cudnn.allow_tf32 = self.matmul_tf32, self.cudnn_tf32
        matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = self.names


def _read_unless_refused(read: Callable[[], bool], *, refused: bool) -> bool:
    """A setting in the older way, which torch does not tell where the newer one says otherwise."""
    try:
        return read()
    except RuntimeError:
        return refused


class _Settings(NamedTuple):
    """Torch's settings of the process."""

    float32: _Float32
    cudnn_benchmark: bool
    deterministic: bool
    warns_only: bool
    fills_memory: bool

    @classmethod
    def current(cls) -> "_Settings":
        return cls(
            float32=_Float32.current(),
            cudnn_benchmark=torch.backends.cudnn.benchmark,
            deterministic=torch.are_deterministic_algorithms_enabled(),
            warns_only=torch.is_deterministic_algorithms_warn_only_enabled(),
            fills_memory=_DETERMINISTIC.fill_uninitialized_memory,
        )

    def set(self) -> None:
        self.float32.set()
        torch.backends.cudnn.benchmark = self.cudnn_benchmark
        mode = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        if mode != (self.deterministic, self.warns_only):  # torch imports its compiler to tell it so
            torch.use_deterministic_algorithms(self.deterministic, warn_only=self.warns_only)
        _DETERMINISTIC.fill_uninitialized_memory = self.fills_memory


def _describe_refusal(error: RuntimeError) -> str | None:
    """What torch refused to compute, where that is why it raised; None where it is not."""
    message = str(error)
    if (found := _NO_DETERMINISTIC_ALGORITHM.match(message)) is not None:
        return (
            f"{found[1]} has no deterministic algorithm on this device; set run.deterministic=false, or "
            "change what needs this operator"
        )
    if _CUBLAS_IS_NOT_DETERMINISTIC in message:
        return (
            "cuBLAS computed something before it was told; set CUBLAS_WORKSPACE_CONFIG=:4096:8 in the shell"
        )
    return None
