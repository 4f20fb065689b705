"""The detectors on HRNet of 2019, in four code bases. Does not import torch.

Sources: ``configs/hrnet/README.md`` of mmdetection 1.0 in two states (files at Amazon, files in OneDrive);
the README files of HRNet-Object-Detection, HRNet-MaskRCNN-Benchmark and HRNet-FCOS. Where a README gives one
address for two detectors, it is left out for both. Of those that HRNet-Object-Detection trained with SyncBN
and several scales, no address is known here.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hrdet_cli.engine.weights.names import MMDETECTION
from hrdet_cli.engine.weights.published.entry import PublishedWeights

_AMAZON = "https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet"
_ALIYUN = "https://open-mmlab.oss-cn-beijing.aliyuncs.com/mmdetection/models/hrnet"
"""The mirror that mmdetection's ``docs/model_zoo.md`` named."""
_ONEDRIVE = "https://1drv.ms/u"
_DRIVE = "https://drive.google.com/open?id="

_NETWORKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "faster": ("Faster R-CNN", "hrnet2019"),
        "mask": ("Mask R-CNN", "hrnet2019-mask"),
        "cascade": ("Cascade R-CNN", "hrnet2019-cascade"),
        "cascade-mask": ("Cascade Mask R-CNN", "hrnet2019-cascade-mask"),
        "htc": ("HTC", "hrnet2019-htc"),
        "fcos": ("FCOS", "hrnet2019-fcos"),
    }
)
"""The network of a kind, and the preset's name in front of the width."""

_AT_AMAZON: tuple[tuple[str, str, float, float | None], ...] = (
    ("faster_rcnn_hrnetv2_w18_fpn_1x", "e368c387", 36.1, None),
    ("faster_rcnn_hrnetv2_w18_fpn_20_23_24e", "ed3c0293", 38.1, None),
    ("faster_rcnn_hrnetv2_w32_fpn_1x", "d22f1fef", 39.5, None),
    ("faster_rcnn_hrnetv2_w32_fpn_20_23_24e", "2d67a5eb", 40.8, None),
    ("faster_rcnn_hrnetv2_w40_fpn_1x", "30502318", 40.4, None),
    ("faster_rcnn_hrnetv2_w40_fpn_20_23_24e", "050a7c7f", 41.4, None),
    ("mask_rcnn_hrnetv2_w18_fpn_1x", "c8ad459f", 37.3, 34.2),
    ("mask_rcnn_hrnetv2_w18_fpn_20_23_24e", "5c11b7f2", 39.2, 35.7),
    ("mask_rcnn_hrnetv2_w32_fpn_1x", "374aaa00", 40.7, 36.8),
    ("mask_rcnn_hrnetv2_w32_fpn_20_23_24e", "4dd02a79", 42.1, 37.6),
    ("cascade_rcnn_hrnetv2_w32_fpn_20e", "55bec4ee", 43.7, None),
)
"""Name, start of the SHA-256, box AP, mask AP; all of 22 May 2019."""

_IN_ONEDRIVE: tuple[tuple[str, str, str, float, float | None, str], ...] = (
    ("faster", "w18", "2x", 38.3, None, "Auszw0Nn8DCRdjF_JWGaZJbUNr4?e=sqxJHZ"),
    ("faster", "w32", "2x", 40.6, None, "Auszw0Nn8DCReTjC__GBpeHuIRU?e=ZNFXrP"),
    ("mask", "w18", "2x", 39.2, 35.7, "AiO3BIXgPy5wdrfShb-tRYEXFN4?e=vKBNQk"),
    ("mask", "w32", "2x", 41.7, 37.5, "AiO3BIXgPy5wd6Ls0x644doGTRI?e=GMJk6i"),
    ("cascade", "w18", "20e", 41.2, None, "Auszw0Nn8DCRdYrajEKsQ3NGDJc?e=TKXiHz"),
    ("cascade", "w48", "20e", 44.6, None, "Auszw0Nn8DCReL0DDCoam7I49bg?e=I5qMFf"),
    ("cascade-mask", "w18", "20e", 41.9, 36.4, "Auszw0Nn8DCRcqFXodE8XZyW_L4?e=QV8FSF"),
    ("cascade-mask", "w32", "20e", 44.5, 38.5, "Auszw0Nn8DCRdA6l34DNpT7sTQM?e=ZvCgjV"),
    ("cascade-mask", "w48", "20e", 46.0, 39.5, "Auszw0Nn8DCRd2E7qOkocmi27Vk?e=acVJNl"),
    ("htc", "w18", "20e", 43.1, 37.9, "Auszw0Nn8DCRepy7NYQM8BpvLBM?e=fZucBh"),
    ("htc", "w32", "20e", 45.3, 39.6, "Auszw0Nn8DCRezdRHZQ38kIgaQE?e=N7SJnK"),
    ("htc", "w48", "20e", 46.8, 40.7, "Auszw0Nn8DCRfRkTT1_9Dtug3OM?e=nFPPFR"),
    ("htc", "w48", "28e", 47.0, 41.0, "Auszw0Nn8DCRfEr2jc5WbTI3R68?e=T4vN10"),
    ("fcos", "w18", "1x", 35.2, None, "AiO3BIXgPy5wcXPTJq-_nNp2V7M?e=NEzyJp"),
    ("fcos", "w18", "2x", 38.2, None, "AiO3BIXgPy5wcv55LdxPqcuRHj0?e=olSrQh"),
    ("fcos", "w32", "1x", 37.7, None, "AiO3BIXgPy5wc8N7SaMZkLA311w?e=Fg98sq"),
    ("fcos", "w32", "2x", 40.3, None, "AiO3BIXgPy5wdFnsCU3Q-iv5MtI?e=gh55wL"),
    ("fcos", "w18", "2x, several scales", 38.1, None, "AiO3BIXgPy5wcKVw15IpwGIriZk?e=Ge2KiM"),
    ("fcos", "w32", "2x, several scales", 41.4, None, "AiO3BIXgPy5wdY0bAy_pESzgSeA?e=S3qMLC"),
    ("fcos", "w48", "2x, several scales", 42.9, None, "AiO3BIXgPy5weGKcdvGgQXoRPdM?e=1q555d"),
)
"""Kind, width, schedule, box AP, mask AP, place in OneDrive."""

_OF_HRNET: tuple[tuple[str, str, str, float, float | None, str | None, str | None], ...] = (
    (
        "faster",
        "w18",
        "1x",
        36.1,
        None,
        "AiWjZ1LamlxzaTqcKb9QJrIZS7Y",
        "1EXA85LQkHZvk0LN7F3DH4rmnWJpWXfy_",
    ),
    ("faster", "w18", "2x", 38.1, None, "AiWjZ1LamlxzcHt7xyWTgVxmMLw", None),
    ("faster", "w32", "1x", 39.5, None, "AiWjZ1LamlxzaxRamJewuDqSozQ", None),
    ("faster", "w32", "2x", 40.8, None, None, "17LUcyoNff5j1QHRPe4vyRyNzrLVn-8AI"),
    ("faster", "w40", "1x", 40.4, None, None, "1UcPuYnBt68itZFvdxDdZfyt472k6nlzv"),
    (
        "faster",
        "w40",
        "2x",
        41.4,
        None,
        "AiWjZ1Lamlxzb1Uy6QLZnsyfuFc",
        "1XuljlzTGHCSQXykaNXTLaMfvhC8bJ0Hr",
    ),
    ("mask", "w18", "1x", 37.3, 34.2, "AiWjZ1Lamlxzcfh06SXd2GR1zKw", None),
    ("mask", "w18", "2x", 39.2, 35.7, "AjfnYvdHLH5TafSZNlgq6UWnJWk", None),
    ("mask", "w32", "1x", 40.7, 36.8, "AiWjZ1LamlxzcugO3KlXfy_YhiE", None),
    ("mask", "w32", "2x", 42.1, 37.6, "AjfnYvdHLH5Taqt21comOmTbdBg", None),
    (
        "cascade",
        "w32",
        "20e",
        43.7,
        None,
        "AiWjZ1LamlxzasFUt8GWHW1Og3I",
        "18CrpwpfKB6o0U9l3sqJ12qu4xnJLxlB6",
    ),
)
"""Kind, width, schedule, box AP, mask AP, place in OneDrive and in Google Drive."""

_OF_BENCHMARK = (
    ("w18", "1x", 36.0, "AjfnYvdHLH5Tb3LeGHSr0sODD1w"),
    ("w18", "2x", 38.4, "AjfnYvdHLH5TcO7N8YfGvZ0Ml0Q"),
    ("w32", "1x", 39.6, "AjfnYvdHLH5TchNk9JT8VlWkYcI"),
    ("w32", "2x", 40.9, "AjfnYvdHLH5TbBZscXZo3DKSU74"),
    ("w32", "3x", 41.4, None),
    ("w32", "4x", 41.6, None),
    ("w40", "1x", 40.4, "AjfnYvdHLH5Tcfwfqrg_9Y8dbPM"),
    ("w40", "2x", 41.4, "AjfnYvdHLH5Tc4wM4S6SCZMbI8I"),
    ("w48", "1x", 41.3, "AjfnYvdHLH5TbV9Wna7hJMI1Y8Q"),
    ("w48", "2x", 41.8, "AjfnYvdHLH5TbpnJXuD_3jL-wsc"),
)
"""Width, schedule, box AP, place in OneDrive."""

_OF_HRNET_FCOS = (
    ("w18", "5 levels, 2x", 37.7, "Av9x_1oQAAoqeRND03CfS4HBONM?e=wT0G0O"),
    ("w18", "6 levels, 2x", 37.8, "Av9x_1oQAAoqeumBsKzXzZjE8Qs?e=fT1edk"),
    ("w32", "5 levels, 2x, several scales", 41.9, "Av9x_1oQAAoqfPuN69wCHx26k0o?e=L7c5FX"),
    ("w32", "6 levels, 2x, several scales", 42.1, "Av9x_1oQAAoqfZn3Xt2CrKUI2rk?e=ZdJSPG"),
    ("w40", "6 levels, 3x, several scales", 42.6, "Av9x_1oQAAoqfu-2x6aOIsGxSsg?e=OBbs5Z"),
)
"""Width, what it is, box AP, place in OneDrive."""


def _figures(box_ap: float, mask_ap: float | None) -> dict[str, float]:
    return {"box AP": box_ap} | ({} if mask_ap is None else {"mask AP": mask_ap})


def _in_onedrive(place: str | None) -> tuple[str, ...]:
    return () if place is None else (f"{_ONEDRIVE}/s!{place}",)


def _backbone(width: str) -> str:
    return f"HRNetV2-{width.upper()}"


def _of_mmdetection() -> Iterator[PublishedWeights]:
    page = "https://github.com/open-mmlab/mmdetection/tree/v1.0.0/configs/hrnet"
    for name, digest, box_ap, mask_ap in _AT_AMAZON:
        kind, _, rest = name.partition("_rcnn_hrnetv2_")
        width, _, schedule = rest.partition("_fpn_")
        network, preset = _NETWORKS[kind]
        yield PublishedWeights(
            publisher="mmdetection 1",
            network=network,
            backbone=_backbone(width),
            schedule=schedule.replace("_", "-"),
            figures=_figures(box_ap, mask_ap),
            page=page,
            name=f"{MMDETECTION}{name}",
            addresses=tuple(f"{host}/{name}_20190522-{digest}.pth" for host in (_AMAZON, _ALIYUN)),
            preset=f"{preset}-{width}",
        )
    for kind, width, schedule, box_ap, mask_ap, place in _IN_ONEDRIVE:
        network, preset = _NETWORKS[kind]
        yield PublishedWeights(
            publisher="mmdetection 1",
            network=network,
            backbone=_backbone(width),
            schedule=schedule,
            figures=_figures(box_ap, mask_ap),
            page=page,
            by_hand=_in_onedrive(place),
            preset=f"{preset}-{width}",
        )


def _of_hrnet() -> Iterator[PublishedWeights]:
    for kind, width, schedule, box_ap, mask_ap, onedrive, drive in _OF_HRNET:
        network, preset = _NETWORKS[kind]
        yield PublishedWeights(
            publisher="HRNet-Object-Detection",
            network=network,
            backbone=_backbone(width),
            schedule=schedule,
            figures=_figures(box_ap, mask_ap),
            page="https://github.com/HRNet/HRNet-Object-Detection",
            by_hand=(*_in_onedrive(onedrive), *([] if drive is None else [f"{_DRIVE}{drive}"])),
            file=f"{kind.capitalize()}R-CNN-HR{width[1:]}-{schedule}.pth",
            preset=f"{preset}-{width}",
        )


def _of_others() -> Iterator[PublishedWeights]:
    for width, schedule, box_ap, place in _OF_BENCHMARK:
        yield PublishedWeights(
            publisher="HRNet-MaskRCNN-Benchmark",
            network="Faster R-CNN",
            backbone=_backbone(width),
            schedule=schedule,
            figures=_figures(box_ap, None),
            page="https://github.com/HRNet/HRNet-MaskRCNN-Benchmark",
            by_hand=_in_onedrive(place),
        )
    for width, schedule, box_ap, place in _OF_HRNET_FCOS:
        yield PublishedWeights(
            publisher="HRNet-FCOS",
            network="FCOS",
            backbone=_backbone(width),
            schedule=schedule,
            figures=_figures(box_ap, None),
            page="https://github.com/HRNet/HRNet-FCOS",
            by_hand=_in_onedrive(place),
        )


DETECTORS = (*_of_mmdetection(), *_of_hrnet(), *_of_others())
