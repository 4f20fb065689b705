"""Backbones that were trained on ImageNet: HRNetV2, and the ResNets that presets name. Does not import torch.

Sources: the README of HRNet-Image-Classification; ``timm/models/hrnet.py`` of timm 0.1 to 0.6 (files of its
release v0.1-hrnet) and of 1.0 (names at the Hugging Face hub); mmcv's ``open_mmlab.json`` of 2020 and later;
torchvision.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hrdet_cli.engine.weights.names import IMAGENET, MMDETECTION, TORCHVISION
from hrdet_cli.engine.weights.published.entry import BACKBONE, PublishedWeights

_HRNET_PAGE = "https://github.com/HRNet/HRNet-Image-Classification"
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-hrnet"
_HUB = "https://huggingface.co/timm"
_OPENMMLAB = "https://download.openmmlab.com/pretrain/third_party"
_AMAZON = "https://s3.ap-northeast-2.amazonaws.com/open-mmlab/pretrain/third_party"
_AMAZON_OF_2020 = "https://open-mmlab.s3.ap-northeast-2.amazonaws.com/pretrain/third_party"
_ONEDRIVE = "https://1drv.ms/u"

_HRNETS: tuple[tuple[str, float, str, str | None, bool, str], ...] = (
    ("w18", 23.2, "8cb57bb9", "00eb2006", True, "s!Aus8VCZ_C_33cMkPimlmClRvmpw"),
    ("w30", 21.8, "8d7f8dab", None, False, "s!Aus8VCZ_C_33cQoACCEfrzcSaVI"),
    ("w32", 21.5, "90d8c5fb", "dc9eeb4f", True, "s!Aus8VCZ_C_33dYBMemi9xOUFR0w"),
    ("w40", 21.1, "7cd397a4", "ed0b031c", True, "s!Aus8VCZ_C_33ck0gvo5jfoWBOPo"),
    ("w44", 21.1, "c9ac8c18", None, False, "s!Aus8VCZ_C_33czZQ0woUb980gRs"),
    ("w48", 20.7, "abd2e6ab", "d2186c55", False, "s!Aus8VCZ_C_33dKvqI6pBZlifgJk"),
    ("w64", 20.5, "b47cc881", None, False, "s!Aus8VCZ_C_33gQbJsUPTIj3rQu99"),
)
"""Width, top-1 error, start of the SHA-256 of timm's and OpenMMLab's file, if Amazon has this, OneDrive."""

_RECIPES: Mapping[str, str] = MappingProxyType(
    {"w18": "hrnet-w18", "w32": "hrnet-w32", "w40": "hrnet-w40", "w48": "cascade-hrnet-w48-20e"}
)
"""Presets to begin with; there are more for each width (``hrdet presets list w18``)."""

_LATER_HRNETS = (
    ("w18", "cutmix", 22.1, "HRNet_W18_C_cosinelr_cutmix_300epoch.pth.tar", None),
    ("w48", "cutmix", 18.9, "HRNet_W48_C_cosinelr_cutmix_300epoch.pth.tar", None),
    ("w18", "ssld", 18.8, "HRNet_W18_C_ssld_pretrained.pth", "hrnet_w18_ssld.paddle_in1k"),
    ("w48", "ssld", 16.4, "HRNet_W48_C_ssld_pretrained.pth", "hrnet_w48_ssld.paddle_in1k"),
)
"""Trained for 300 epochs with CutMix, and distilled by PaddleClas (SSLD). Their SHA-256 is not known. Last
what timm, by its cards at the hub, has of the same training."""

_CAFFE_RESNETS = (
    ("resnet50_msra", "5891d200", _AMAZON_OF_2020),
    ("resnet101_msra", "6cc46731", _AMAZON_OF_2020),
    ("resnet50_caffe", "788b5fa3", _AMAZON),
    ("resnet101_caffe", "3ad79236", _AMAZON),
)
"""Of Caffe and Caffe2, which mmdetection keeps for its detectors in the caffe style."""


def _hrnets() -> Iterator[PublishedWeights]:
    for width, error, at_timm, at_openmmlab, is_at_amazon, onedrive in _HRNETS:
        renamed = f"hrnetv2_{width}-{at_openmmlab}.pth"
        yield PublishedWeights(
            publisher="HRNet-Image-Classification",
            network=BACKBONE,
            backbone=f"HRNetV2-{width.upper()}",
            figures={"top-1 error": error},
            page=_HRNET_PAGE,
            name=f"{IMAGENET}hrnetv2_{width}",
            addresses=(
                f"{_TIMM}/hrnetv2_{width}-{at_timm}.pth",
                f"{_HUB}/hrnet_{width}.ms_in1k/resolve/main/pytorch_model.bin",
                *([] if at_openmmlab is None else [f"{_OPENMMLAB}/{renamed}"]),
                *([f"{_AMAZON}/{renamed}"] if is_at_amazon else []),
            ),
            by_hand=(f"{_ONEDRIVE}/{onedrive}",),
            file=f"hrnetv2_{width}_imagenet_pretrained.pth",
            preset=_RECIPES.get(width),
        )
    for width, kind, error, file, at_timm_s_hub in _LATER_HRNETS:
        yield PublishedWeights(
            publisher="HRNet-Image-Classification",
            network=BACKBONE,
            backbone=f"HRNetV2-{width.upper()}",
            schedule="300 epochs with CutMix" if kind == "cutmix" else "distilled (SSLD)",
            figures={"top-1 error": error},
            page=_HRNET_PAGE,
            name=f"{IMAGENET}hrnetv2_{width}_{kind}",
            addresses=(
                f"{_HRNET_PAGE}/releases/download/PretrainedWeights/{file}",
                *([f"{_HUB}/{at_timm_s_hub}/resolve/main/pytorch_model.bin"] if at_timm_s_hub else []),
            ),
            preset=_RECIPES.get(width),
        )


def _resnets() -> Iterator[PublishedWeights]:
    for depth, digest, accuracy in ((50, "0676ba61", 76.13), (101, "63fe2227", 77.374)):
        yield PublishedWeights(
            publisher="torchvision",
            network=BACKBONE,
            backbone=f"ResNet-{depth}",
            schedule="IMAGENET1K_V1",
            figures={"top-1 error": round(100 - accuracy, 3)},
            page=f"https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.resnet{depth}.html",
            name=f"{TORCHVISION}resnet{depth}",
            addresses=(f"https://download.pytorch.org/models/resnet{depth}-{digest}.pth",),
            preset="r50-fpn" if depth == 50 else "r101-fpn",
        )
    for name, digest, amazon in _CAFFE_RESNETS:
        file = f"{name}-{digest}.pth"
        depth_of = "50" if "50" in name else "101"
        yield PublishedWeights(
            publisher="mmdetection",
            network=BACKBONE,
            backbone=f"ResNet-{depth_of}",
            schedule="caffe style",
            page="https://github.com/open-mmlab/mmcv/blob/main/mmcv/model_zoo/open_mmlab.json",
            name=f"{MMDETECTION}{name}",
            addresses=(f"{_OPENMMLAB}/{file}", f"{amazon}/{file}"),
            preset=f"mmdet3-r{depth_of}-caffe-fpn",
        )


BACKBONES = (*_hrnets(), *_resnets())
