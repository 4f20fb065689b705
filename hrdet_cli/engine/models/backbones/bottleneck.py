"""The residual block of ResNet-50 and of HRNet's first stage."""

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck as _Bottleneck

from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.valid_area import ValidArea


class Bottleneck(_Bottleneck):  # type: ignore[misc]
    """Torchvision's block, whose shortcut, where it has a norm, runs in step with the main path.

    Parameters, their names and results are torchvision's.
    """

    def forward(self, x: Tensor, area: ValidArea | None = None) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, 4 C', H / s, W / s)``, zero in the padding if there is an area."""
        main, shortcut = run_in_step([self._main_steps(x), _shortcut_steps(self.downsample, x)], area)
        return F.relu(main.add_(shortcut), inplace=True)

    def _main_steps(self, x: Tensor) -> NormSteps:
        x = yield self.bn1, self.conv1(x)
        x = yield self.bn2, self.conv2(F.relu(x, inplace=True))
        x = yield self.bn3, self.conv3(F.relu(x, inplace=True))
        return x


def _shortcut_steps(downsample: nn.Sequential | None, x: Tensor) -> NormSteps:
    if downsample is not None:
        conv, norm = downsample
        x = yield norm, conv(x)
    return x
