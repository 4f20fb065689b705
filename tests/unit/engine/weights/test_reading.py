import json
import os
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.engine.weights import reading, torch_files
from hrdet_cli.engine.weights.fetching.cache import CachedFile
from hrdet_cli.engine.weights.reading import read_weights
from hrdet_cli.errors import WeightsError

REMEDY = "Give a file of a network's tensors, as torch.save(model.state_dict(), FILE) writes it."
State = dict[str, Tensor]


def state() -> State:
    return {"conv1.weight": torch.arange(4.0), "bn1.weight": torch.ones(2), "bn1.bias": torch.zeros(2)}


def saved(content: object, folder: Path, name: str = "weights.pth") -> str:
    torch.save(content, folder / name)
    return str(folder / name)


def prefixed(*prefixes: str) -> Callable[[State], State]:
    return lambda state: {f"{''.join(prefixes)}{key}": tensor for key, tensor in state.items()}


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "bare": dict,
    "ordered": OrderedDict,
    "parameters": lambda state: {key: nn.Parameter(tensor) for key, tensor in state.items()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 12, "optimizer": {"state": {}}},
    "model": lambda state: {"model": state, "args": {"lr": 0.1}},
    "data parallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled in data parallel": prefixed("module.", "_orig_mod."),
    "data parallel in a model": lambda state: {"state_dict": prefixed("model.", "module.")(state)},
    "averaged by torch": lambda state: {"n_averaged": torch.tensor(3)} | prefixed("module.")(state),
    "averaged by mmcv": lambda state: (
        state | {"ema_" + key.replace(".", "_"): state[key] + 1 for key in state}
    ),
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_every_usual_wrapping_is_taken_off(wrap: Callable[[State], object], tmp_path: Path) -> None:
    file = read_weights(saved(wrap(state()), tmp_path))
    assert file.tensors.keys() == state().keys()
    assert all(torch.equal(tensor, state()[key]) for key, tensor in file.tensors.items())
    assert not any(tensor.requires_grad for tensor in file.tensors.values())
    assert (file.class_names, file.config_text, file.checkpoint) == (None, None, None)


OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
SAVED_BY_LOOPS: dict[str, tuple[Callable[[State], object], str, tuple[str, ...]]] = {
    "net": (lambda state: {"epoch": 3, "net": state, "optimizer": OPTIMISER}, "net", ()),
    "model_state_dict": (lambda state: {"model_state_dict": state, "loss": 0.1}, "model_state_dict", ()),
    "any word": (lambda state: {"generator": state, "rng": torch.zeros(9)}, "generator", ()),
    "two deep": (lambda state: {"checkpoint": {"model": state}, "args": {"lr": 1}}, "checkpoint.model", ()),
    "three deep": (lambda state: {"a": {"b": {"c": state}}}, "a.b.c", ()),
    "timm": (
        lambda state: {"state_dict": state, "state_dict_ema": state},
        "state_dict",
        ("state_dict_ema",),
    ),
    "an average": (lambda state: {"net": state, "ema": {"shadow": state}}, "net", ("ema.shadow",)),
    "lightning": (
        lambda state: {"state_dict": prefixed("model.")(state), "optimizer_states": [OPTIMISER]},
        "state_dict",
        (),
    ),
    "random states": (
        lambda state: {"weights": state, "rng": {"cpu": torch.zeros(9, dtype=torch.uint8)}},
        "weights",
        (),
    ),
}


@pytest.mark.parametrize(("wrap", "key", "others"), SAVED_BY_LOOPS.values(), ids=SAVED_BY_LOOPS)
def test_the_one_state_dict_that_a_training_loop_saves_is_taken_and_named(
    wrap: Callable[[State], object], key: str, others: tuple[str, ...], tmp_path: Path
) -> None:
    path = saved(wrap(state()), tmp_path)
    file = read_weights(path)
    assert file.tensors.keys() == state().keys()
    assert (file.state_dict_key, file.other_state_dicts) == (key, others)
    told = [f"weights {path}: taken is {key}, not {', '.join(others)}"] if others else []
    assert list(file.notices()) == told


def test_of_several_state_dicts_none_is_taken_where_nobody_knows_which(tmp_path: Path) -> None:
    path = saved({"teacher": state(), "student": state(), "optim": OPTIMISER}, tmp_path)
    with pytest.raises(WeightsError) as raised:
        read_weights(path)
    assert str(raised.value) == (
        f"weights {path} hold 2 dictionaries of tensors, and nobody says which is the network's: teacher, "
        "student. Save that one alone: torch.save(content[KEY], FILE)"
    )


def test_a_prefix_that_only_some_have_stays(tmp_path: Path) -> None:
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert read_weights(saved(mixed, tmp_path)).tensors.keys() == mixed.keys()


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ({"CLASSES": ("person", "car")}, ("person", "car")),
        ({"dataset_meta": {"classes": ["person", "car"], "palette": [1]}}, ("person", "car")),
        ({"dataset_meta": {"CLASSES": ("person",)}, "CLASSES": ("car",)}, ("person",)),
        ({"CLASSES": None}, None),
        ({"CLASSES": "person"}, None),
        ({"CLASSES": ("person", 3)}, None),
        ({"CLASSES": ("clear the screen \x1b[2J",)}, None),
        ({}, None),
    ],
)
def test_class_names_are_those_that_mmdetection_leaves(
    meta: dict[str, Any], names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    assert read_weights(saved({"state_dict": state(), "meta": meta}, tmp_path)).class_names == names


@pytest.mark.parametrize("key", ["config", "cfg"])
def test_mmdetection_s_configuration_is_kept_as_text(key: str, tmp_path: Path) -> None:
    path = saved({"state_dict": state(), "meta": {key: "model = dict(type='Detector')"}}, tmp_path)
    assert read_weights(path).config_text == "model = dict(type='Detector')"


def test_a_checkpoint_of_ours_keeps_all_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    entries = {"spec": "name: x", "class_names": ["cell"], "model": state(), "ema_model": {}, "step": 7}
    save_checkpoint(path, entries)
    file = read_weights(str(path))
    assert file.checkpoint is not None
    assert file.checkpoint.keys() == entries.keys()
    assert file.checkpoint["step"] == 7
    assert file.class_names == ("cell",)
    assert torch.equal(file.tensors["conv1.weight"], torch.arange(4.0))


def test_a_checkpoint_of_a_later_hrdet_is_refused(tmp_path: Path) -> None:
    later = {"format": {"kind": "hrdet checkpoint", "version": 3}, "model": state()}
    with pytest.raises(WeightsError, match="has checkpoint version 3, this hrdet reads versions 1 and 2"):
        read_weights(saved(later, tmp_path))


@pytest.mark.parametrize("version", [None, "2", ((),)])
def test_a_checkpoint_of_no_version_is_refused(version: object, tmp_path: Path) -> None:
    content = {"format": {"kind": "hrdet checkpoint", "version": version}, "model": state()}
    with pytest.raises(
        WeightsError, match="has checkpoint version unknown, this hrdet reads versions 1 and 2"
    ):
        read_weights(saved(content, tmp_path))


def test_safetensors_are_told_by_content(tmp_path: Path) -> None:
    save_file(prefixed("module.")(state()), tmp_path / "weights.bin", metadata={"format": "pt"})
    file = read_weights(str(tmp_path / "weights.bin"))
    assert file.tensors.keys() == state().keys()
    assert torch.equal(file.tensors["conv1.weight"], torch.arange(4.0))


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LYING_HEADERS = {
    "longer than the file": (2**40, {}),
    "longer than memory": (2**63, {}),
    "a tensor beyond the end": (None, {"a": entry("F32", [2**40], 0, 2**42)}),
    "a tensor larger than its part": (None, {"a": entry("F32", [1000], 0, 16)}),
    "two tensors in one place": (None, {"a": entry("F32", [4], 0, 16), "b": entry("F32", [4], 0, 16)}),
    "a part of nobody": (None, {"a": entry("F32", [2], 0, 8)}),
    "an overflowing shape": (None, {"a": entry("F32", [2**32, 2**32], 0, 16)}),
    "no dtype of this world": (None, {"a": entry("F1000", [4], 0, 16)}),
}


@pytest.mark.parametrize(
    ("dtype", "name"), [("F8_E4M3", "float8_e4m3fn"), ("F4", "float4_e2m1fn_x2"), ("U16", "uint16")]
)
def test_dtypes_that_torch_cannot_copy_are_refused_by_name(dtype: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    shape = {"F8_E4M3": [16], "F4": [32], "U16": [8]}[dtype]
    text = json.dumps({"conv1.weight": entry(dtype, shape, 0, 16)}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(WeightsError) as caught:
        read_weights(str(path))
    assert str(caught.value) == (
        f"weights {path}: conv1.weight is of dtype {name}, which hrdet does not read; make it float32, or "
        "another that weights are trained in."
    )


@pytest.mark.parametrize(("length", "header"), LYING_HEADERS.values(), ids=LYING_HEADERS)
def test_safetensors_with_a_lying_header_are_refused(
    length: int | None, header: dict[str, Any], tmp_path: Path
) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(16))
    with pytest.raises(WeightsError, match=rf"^weights {path} are damaged: .* Fetch them again\.$"):
        read_weights(str(path))


def test_without_safetensors_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(state(), tmp_path / "weights.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        WeightsError, match=r"need safetensors; install it with: .* -m pip install .safetensors>="
    ):
        read_weights(str(tmp_path / "weights.safetensors"))


def test_an_absent_file_is_named_with_where_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "hrnetv2_w18_imagenet_pretrained.pth"
    with pytest.raises(WeightsError) as caught:
        read_weights(str(path))
    assert str(caught.value).startswith(
        f"weights {path}: there is no such file. --weights imagenet:hrnetv2_w18 "
    )
    assert "https://github.com/HRNet/HRNet-Image-Classification" in str(caught.value)
    with pytest.raises(WeightsError, match=r"there is no such file\. Public files are"):
        read_weights(str(tmp_path / "mine.pth"))


def test_an_absent_detector_of_mmdetection_and_an_unknown_address_are_not_advised_of_backbones() -> None:
    for source, advice in (
        (
            "weights/faster_rcnn_hrnetv2p_w18_1x_coco.pth",
            "there is no such file. --weights mmdet:faster_rcnn_hrnetv2p_w18_1x_coco fetches these",
        ),
        (
            "weights/faster_rcnn_r50_fpn_1x_coco.pth",
            "there is no such file. mmdetection's detectors are listed at "
            "https://github.com/open-mmlab/mmdetection/tree/main/configs/hrnet",
        ),
        ("ftp://example.org/w.pth", "nothing is fetched by ftp:; give a file, a name"),
    ):
        with pytest.raises(WeightsError) as caught:
            read_weights(source)
        assert str(caught.value).startswith(f"weights {source}: {advice}")
        assert "Public files are" not in str(caught.value)


EXPORTED = {"spec": "name: mine", "class_names": '["cat", "dog"]', "category_ids": "[3, 7]"}


def test_the_header_of_an_exported_file_is_read_as_a_checkpoint(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors", EXPORTED)
    file = read_weights(str(tmp_path / "w.safetensors"))
    assert file.tensors.keys() == state().keys()
    assert file.class_names == ("cat", "dog")
    assert file.checkpoint is not None
    assert (file.checkpoint["spec"], file.checkpoint["category_ids"]) == ("name: mine", [3, 7])


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000])
def test_a_header_that_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors", EXPORTED | {"category_ids": text})
    with pytest.raises(
        WeightsError, match=r"w\.safetensors: class_names, category_ids, step or epoch in the header are no"
    ):
        read_weights(str(tmp_path / "w.safetensors"))


def test_annotations_are_not_taken_for_safetensors(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"info":{"year": 2017}, "images": []}')  # "{" in the ninth place
    with pytest.raises(WeightsError, match=r"train\.json are no weights but JSON\."):
        read_weights(str(tmp_path / "train.json"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"^weights {tmp_path}: is a folder\. Give a file of weights\.$"):
        read_weights(str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    best = tmp_path / "checkpoints" / "best.pt"
    best.touch()
    with pytest.raises(WeightsError, match=rf"is a folder\. Give a file of weights, such as {best}\.$"):
        read_weights(str(tmp_path))


def test_a_link_that_leads_nowhere_and_a_pipe_are_called_that(tmp_path: Path) -> None:
    (tmp_path / "w.pth").symlink_to("gone.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: is a symbolic link to gone\.pth, which does not exist"):
        read_weights(str(tmp_path / "w.pth"))
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(WeightsError, match=r"pipe\.pth: is a pipe, not a file"):
        read_weights(str(tmp_path / "pipe.pth"))


def expanded(numel: int) -> Tensor:
    return torch.ones(1).expand(numel)


NO_TENSORS: dict[str, Callable[[], object]] = {
    "nothing": dict,
    "empty": lambda: {"state_dict": {}},
    "numbers": lambda: {"epoch": 3},
    "a list": lambda: [torch.zeros(1)],
    "one tensor": lambda: torch.zeros(2),
    "something among them": lambda: state() | {"epoch": 3},
    "numbers as names": lambda: {1: torch.ones(1)},
    "a name that a terminal obeys": lambda: {"conv1\x1b[2J": torch.ones(1)},
    "memory for a thousandth": lambda: {"a": expanded(10**12)},
    "an object among them": lambda: state() | {"a": torch.float32},
}
NO_PLAIN_TENSORS: dict[str, Callable[[], Tensor]] = {
    "no memory": lambda: torch.ones(2, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "eight bits": lambda: torch.ones(2).to(torch.float8_e4m3fn),
}


@pytest.mark.filterwarnings("ignore")  # torch would like to see quantised tensors gone
@pytest.mark.parametrize("make", NO_PLAIN_TENSORS.values(), ids=NO_PLAIN_TENSORS)
def test_tensors_that_no_weights_consist_of_are_refused(make: Callable[[], Tensor], tmp_path: Path) -> None:
    path = saved({"a": make()}, tmp_path)
    with pytest.raises(WeightsError, match=r"hold objects other than tensors and plain types \(torch\."):
        read_weights(path)


@pytest.mark.parametrize("make", NO_TENSORS.values(), ids=NO_TENSORS)
def test_a_file_without_a_state_dict_of_plain_tensors_is_refused(
    make: Callable[[], object], tmp_path: Path
) -> None:
    path = saved(make(), tmp_path)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"weights {path} hold no state dict of tensors")
    assert str(caught.value).endswith(REMEDY)
    assert "\x1b" not in str(caught.value)


def test_torchvision_s_detector_comes_with_coco_s_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(state(), tmp_path)
    asked: list[str] = []

    def download(_source: str, addresses: Sequence[str], **_keywords: object) -> Path:
        asked.extend(addresses)
        return Path(path)

    monkeypatch.setattr(reading, "download", download)
    file = read_weights("torchvision:fasterrcnn_resnet50_fpn")
    assert asked == ["https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"]
    assert file.source == "torchvision:fasterrcnn_resnet50_fpn"
    assert file.class_names is not None
    assert (len(file.class_names), file.class_names[11]) == (90, "unused 12")
    assert read_weights("torchvision:resnet50").class_names is None


def test_an_address_is_fetched_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(state(), tmp_path)
    monkeypatch.setattr(reading, "download", lambda *_words, **_keywords: Path(path))
    file = read_weights("https://example.org/weights.pth")
    assert file.source == "https://example.org/weights.pth"
    assert file.tensors.keys() == state().keys()


@pytest.mark.parametrize("fails", ["refused", "too large"])
def test_a_file_that_cannot_be_read_stays_in_the_cache(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = "https://example.org/model.pth"
    path = CachedFile.of(source).path
    path.parent.mkdir(parents=True)
    torch.save(state() if fails == "too large" else nn.Linear(1, 1), path)
    if fails == "too large":
        monkeypatch.setattr(torch_files, "_allocate", no_memory)
    told = {"refused": "hold objects other than", "too large": "cannot be read: there is not enough memory"}
    with pytest.raises(WeightsError, match=rf"^weights {source} {told[fails]}") as caught:
        read_weights(source)
    assert path.exists()
    is_named = str(caught.value).endswith(f"\nThe file is {path}, which is read again until it is removed.")
    assert is_named == (fails == "refused")


def no_memory(*_arguments: object, **_keywords: object) -> Tensor:
    raise MemoryError


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_memory_that_is_not_there_is_said(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state(), path, _use_new_zipfile_serialization=not legacy)

    def fail(*_arguments: object, **_keywords: object) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "empty", fail)
    with pytest.raises(WeightsError, match="there is not enough memory for them"):
        read_weights(str(path))


@pytest.mark.parametrize("start", ["zip", "before torch 1.6", "safetensors", "page"])
def test_only_what_starts_as_weights_do_comes_into_the_cache(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    if start == "safetensors":
        save_file(state(), path)
    elif start == "page":
        path.write_text("<html>please log in</html>")
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=start == "zip")

    def download(_source: str, _addresses: Sequence[str], *, accepts: Callable[[bytes], bool]) -> Path:
        assert accepts(path.read_bytes()) == (start != "page")
        return path

    monkeypatch.setattr(reading, "download", download)
    if start != "page":
        assert read_weights("https://example.org/weights").tensors.keys() == state().keys()


def test_a_file_of_the_hub_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(state(), tmp_path)
    monkeypatch.setattr(
        reading, "fetch_hub_file", lambda source: Path(path) if source == "hf:me/cells" else None
    )
    file = read_weights("hf:me/cells")
    assert (file.source, file.tensors.keys()) == ("hf:me/cells", state().keys())


def test_timm_s_weights_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "read_timm_weights", lambda name: state() if name == "hrnet_w18" else {})
    file = read_weights("timm:hrnet_w18")
    assert file.tensors.keys() == state().keys()
    assert file.class_names is None
