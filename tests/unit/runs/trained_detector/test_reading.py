import json
import pickle
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.training.checkpoint import load_checkpoint, save_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.errors import SpecError, WeightsError
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.origin import results_depend_on
from hrdet_cli.runs.result_folders import results_folder
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, build_trained_detector
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.loading import format_spec, load_spec, with_settings
from tests.tiny_network import tiny_network

CPU = torch.device("cpu")
SPEC = load_spec(preset="demo", settings=["norm={kind: batch}"]).spec


@pytest.fixture(autouse=True)
def _small_network_is_tiny() -> Iterator[None]:
    with tiny_network():
        yield


@cache
def make_weights(num_classes: int, *, seed: int = 0) -> dict[str, Tensor]:
    """The same for the same arguments: nobody changes them."""
    torch.manual_seed(seed)
    return build_detector(SPEC, num_classes=num_classes, trains=False).state_dict()


def write_foreign(path: Path, num_classes: int, *, classes: tuple[str, ...] | None = None) -> Path:
    """The demo's detector as mmdetection would have saved it."""
    meta = {} if classes is None else {"dataset_meta": {"classes": classes}}
    torch.save({"state_dict": to_mmdetection(make_weights(num_classes)), "meta": meta}, path)
    return path


def write_checkpoint(path: Path, *settings: str, ema: Mapping[str, Tensor] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "spec": format_spec(with_settings(SPEC, settings)),
        "class_names": ["cat", "dog"],
        "category_ids": [3, 7],
        "model": make_weights(2),
    }
    save_checkpoint(path, state if ema is None else {**state, "ema_model": ema})
    return path


def write_classes(path: Path, *names: str) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 8}],
        "annotations": [],
        "categories": [{"id": 10 * (k + 1), "name": name} for k, name in enumerate(names)],
    }
    path.write_text(json.dumps(content))
    return path


def read_foreign(path: Path, *settings: str, classes: Path | None = None) -> TrainedDetector:
    return read_trained_detector(
        str(path), preset="demo", settings=["norm={kind: batch}", *settings], classes=classes
    )


def assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.mark.parametrize(("files", "taken"), [(("last", "best"), "best"), (("last",), "last")])
def test_a_run_folder_means_its_best_checkpoint_or_else_its_last(
    tmp_path: Path, files: tuple[str, ...], taken: str
) -> None:
    for name in files:
        write_checkpoint(tmp_path / "checkpoints" / f"{name}.pt")
    trained = read_trained_detector(str(tmp_path))
    assert trained.file == tmp_path / "checkpoints" / f"{taken}.pt"
    assert (trained.class_names, trained.category_ids) == (("cat", "dog"), (3, 7))
    assert results_folder(trained, "eval") == tmp_path / f"eval-{taken}"
    assert_same(build_trained_detector(trained, CPU).state_dict(), make_weights(2))


def test_averaged_weights_are_taken_when_asked_for_and_named_when_not(tmp_path: Path) -> None:
    averaged = make_weights(2, seed=5)
    write_checkpoint(tmp_path / "checkpoints" / "best.pt")
    last = write_checkpoint(tmp_path / "checkpoints" / "last.pt", ema=averaged)
    from_last = read_trained_detector(str(tmp_path), use_ema=True)
    assert from_last.file == last, "best.pt is the best of the raw weights"
    assert_same(from_last.weights, averaged)
    assert results_folder(from_last, "eval") == tmp_path / "eval-last-ema"
    assert read_trained_detector(str(last)).notices == (
        f"{last}: raw weights are used; it holds their average too (--ema)",
    )
    write_checkpoint(tmp_path / "checkpoints" / "best.pt", ema=averaged)
    assert read_trained_detector(str(tmp_path)).notices == (
        f"{tmp_path}/checkpoints/best.pt: raw weights are used; --ema takes the average in {last}",
    )
    assert read_trained_detector(str(tmp_path), use_ema=None).notices == ()
    best = write_checkpoint(tmp_path / "checkpoints" / "best-ema.pt", ema=averaged)
    from_best = read_trained_detector(str(tmp_path), use_ema=True)
    assert from_best.file == best
    assert results_folder(from_best, "eval") == tmp_path / "eval-best-ema"
    raw = read_trained_detector(str(best))
    assert results_folder(raw, "eval") == tmp_path / "eval-best-ema-raw", "not where the average's are"
    assert read_trained_detector(str(best)).notices == (
        f"{best}: the raw weights in it are used, not the average that it was kept for (--ema)",
    )


@pytest.mark.parametrize(
    ("source", "name"), [("hf:me/cells", "cells"), ("https://example.org/run/best-ema.pt", "best-ema-raw")]
)
def test_results_of_a_checkpoint_that_was_fetched_go_where_those_of_all_fetched_weights_do(
    source: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tmp_path / "cached.pt", ema=make_weights(2, seed=5))
    monkeypatch.setattr("hrdet_cli.engine.weights.reading.fetch_hub_file", lambda _: path)
    monkeypatch.setattr("hrdet_cli.engine.weights.reading.download", lambda *_words, **_named: path)
    fetched = read_trained_detector(source)
    assert fetched.file is None
    assert results_folder(fetched, "eval") == Path("runs") / f"eval-{name}"
    assert fetched.notices[0].startswith(f"{source}: ")


def test_averaged_weights_that_are_not_there_are_missed(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "last.pt")
    with pytest.raises(WeightsError, match=r"last\.pt: holds no averaged weights.*leave --ema away"):
        read_trained_detector(str(path), use_ema=True)
    foreign = write_foreign(tmp_path / "foreign.pth", 80)
    with pytest.raises(SpecError, match=r"--ema: .*foreign\.pth is no checkpoint of hrdet"):
        read_trained_detector(str(foreign), preset="demo", use_ema=True)


@pytest.mark.parametrize("option", ["preset", "spec_file", "classes"])
def test_a_checkpoint_needs_no_description_and_takes_none(tmp_path: Path, option: str) -> None:
    path = write_checkpoint(tmp_path / "last.pt")
    given: dict[str, str | Path] = {option: "demo" if option == "preset" else tmp_path / "x"}
    with pytest.raises(SpecError, match=r"is for weights of other code; .* knows this itself"):
        read_trained_detector(str(path), **given)  # type: ignore[arg-type]


def test_foreign_weights_arrive_unchanged_under_our_names(tmp_path: Path) -> None:
    trained = read_foreign(write_foreign(tmp_path / "frcnn_1x.pth", 80))
    assert_same(build_trained_detector(trained, CPU).state_dict(), make_weights(80))
    assert trained.spec.model.weights == str(tmp_path / "frcnn_1x.pth")
    assert results_folder(trained, "predict") == tmp_path / "predict-frcnn_1x"
    assert not build_trained_detector(trained, CPU).training


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        ([], "float32"),
        (["run.precision=bfloat16"], "bfloat16"),
    ],
)
def test_foreign_weights_are_computed_in_float32_unless_one_asks_for_something_else(
    tmp_path: Path, settings: list[str], precision: str
) -> None:
    trained = read_foreign(write_foreign(tmp_path / "x.pth", 80), *settings)
    assert trained.spec.run.precision == precision
    assert trained.changes.get("run.precision") == (precision if settings else None)


def test_a_checkpoint_is_computed_as_its_run_was_and_results_in_another_precision_lie_apart(
    tmp_path: Path,
) -> None:
    path = write_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert read_trained_detector(str(path)).spec.run.precision == "auto"
    changed = read_trained_detector(str(path), settings=["run.precision=bfloat16", "run.seed=3"])
    kept = {key for key in changed.changes if results_depend_on(key)}
    assert kept == {"run.precision"}


def test_what_only_a_trainings_own_evaluations_have_makes_no_change_impossible(tmp_path: Path) -> None:
    trainings_own = ("evaluation.with_loss=true", "evaluation.best_by=loss", "evaluation.patience=3")
    path = str(write_checkpoint(tmp_path / "last.pt", *trainings_own))
    assert read_trained_detector(path).spec.evaluation.patience == 3
    views = "evaluation.test_time_augmentation={}"
    changed = read_trained_detector(path, settings=[views, "evaluation.with_loss=false"])
    assert changed.spec.evaluation.test_time_augmentation is not None
    assert {key.split(".")[1] for key in changed.changes} == {"test_time_augmentation"}
    assert changed.notices == ("evaluation.with_loss changes nothing here, for only a training looks at it",)
    assert changed.saved_spec is not None
    assert changed.saved_spec.evaluation.with_loss
    assert read_trained_detector(path, settings=["evaluation.patience=5"]).spec.evaluation.patience == 5
    with pytest.raises(SpecError, match=r"set evaluation\.with_loss=false, or"):
        read_trained_detector(path, settings=[views, "evaluation.with_loss=true"])


def test_a_spec_file_of_a_training_describes_foreign_weights_with_test_time_augmentation(
    tmp_path: Path,
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(format_spec(with_settings(SPEC, ["evaluation.with_loss=true"])))
    weights = write_foreign(tmp_path / "x.pth", 80)
    views = "evaluation.test_time_augmentation={}"
    trained = read_trained_detector(str(weights), spec_file=spec, settings=[views])
    assert trained.spec.evaluation.test_time_augmentation is not None
    assert trained.changes == {
        "evaluation.test_time_augmentation.scales_pixels": None,
        "evaluation.test_time_augmentation.flip": True,
    }


def test_results_name_the_preset_or_file_that_was_given_whatever_the_spec_is_called(tmp_path: Path) -> None:
    weights, spec = write_foreign(tmp_path / "x.pth", 80), tmp_path / "spec.yaml"
    spec.write_text(format_spec(SPEC))
    assert read_foreign(weights, "name=mine").given_spec == "demo"
    assert read_trained_detector(str(weights), spec_file=spec).given_spec == "spec.yaml"
    assert read_trained_detector(str(write_checkpoint(tmp_path / "last.pt"))).given_spec is None


def test_weights_that_lay_channels_last_on_a_gpu_are_read(tmp_path: Path) -> None:
    weights = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        for name, tensor in make_weights(2).items()
    }
    path = write_checkpoint(tmp_path / "last.pt", ema=weights)
    trained = read_trained_detector(str(path), use_ema=True)
    assert_same(build_trained_detector(trained, CPU).state_dict(), make_weights(2))


def test_eighty_classes_without_names_are_those_of_coco(tmp_path: Path) -> None:
    trained = read_foreign(write_foreign(tmp_path / "x.pth", 80))
    assert trained.class_names[:3] == ("person", "bicycle", "car")
    assert trained.category_ids is not None
    assert (trained.category_ids[11], trained.class_names[11]) == (13, "stop sign")


def test_names_in_the_file_count_before_their_number(tmp_path: Path) -> None:
    names = tuple(f"thing {number}" for number in range(80))
    trained = read_foreign(write_foreign(tmp_path / "x.pth", 80, classes=names))
    assert (trained.class_names, trained.category_ids) == (names, None)


def test_classes_can_be_named_by_annotations(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "x.pth", 3)
    with pytest.raises(SpecError, match="does not name its 3 classes; name them with --classes JSON"):
        read_foreign(path)
    trained = read_foreign(path, classes=write_classes(tmp_path / "c.json", "rbc", "wbc", "platelet"))
    assert trained.class_names == ("rbc", "wbc", "platelet")
    assert trained.category_ids == (10, 20, 30)
    with pytest.raises(SpecError, match=r"names 2 categories, but .* has 3 classes"):
        read_foreign(path, classes=write_classes(tmp_path / "c.json", "rbc", "wbc"))


def test_names_that_are_too_few_are_refused(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "x.pth", 3, classes=("a", "b"))
    with pytest.raises(WeightsError, match="names 2 classes but has 3; name them with --classes JSON"):
        read_foreign(path)


def test_foreign_weights_say_that_they_need_a_description(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "x.pth", 80)
    with pytest.raises(
        SpecError,
        match=r"x\.pth: holds weights of other code \(Faster R-CNN of mmdetection.*--preset NAME or",
    ):
        read_trained_detector(str(path))


def test_what_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match=r"^nowhere\.pth: does not exist; give a run folder, a checkpoint"):
        read_trained_detector("nowhere.pth")


def test_a_backbone_is_no_detector(tmp_path: Path) -> None:
    backbone = {key: value for key, value in make_weights(2).items() if key.startswith("backbone.")}
    torch.save(backbone, tmp_path / "hrnet.pth")
    with pytest.raises(WeightsError, match=r"hrnet\.pth: holds a backbone .*, not a detector"):
        read_foreign(tmp_path / "hrnet.pth")


def test_weights_of_another_detector_do_not_fit(tmp_path: Path) -> None:
    trained = read_foreign(write_foreign(tmp_path / "x.pth", 80), "model.neck.channels=32")
    with pytest.raises(
        WeightsError, match="its weights do not fit the detector that the spec describes"
    ) as raised:
        build_trained_detector(trained, CPU)
    assert "tensors have another shape: neck.reduction_conv.weight" in str(raised.value)


@pytest.mark.parametrize("settings", [(), ("model.strict_weights=false",)])
def test_a_missing_tensor_is_never_replaced_by_a_random_one(
    tmp_path: Path, settings: tuple[str, ...]
) -> None:
    weights = to_mmdetection(make_weights(80))
    del weights["rpn_head.rpn_conv.weight"]
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"tensors (is|are) missing: rpn\.conv\.weight"):
        build_trained_detector(read_foreign(tmp_path / "x.pth", *settings), CPU)


def test_tensors_that_are_left_over_are_refused_unless_told_otherwise(tmp_path: Path) -> None:
    torch.save({**to_mmdetection(make_weights(80)), "extra.weight": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"(has|have) no place in the model: extra\.weight"):
        build_trained_detector(read_foreign(tmp_path / "x.pth"), CPU)
    trained = read_foreign(tmp_path / "x.pth", "model.strict_weights=false")
    assert_same(build_trained_detector(trained, CPU).state_dict(), make_weights(80))
    assert "model.strict_weights=false: 1 tensor has no place in the model: extra.weight" in trained.notices


def test_a_mask_r_cnn_is_called_by_its_name(tmp_path: Path) -> None:
    masks = {"roi_head.mask_head.conv_logits.bias": torch.zeros(2)}
    torch.save(to_mmdetection(make_weights(80)) | masks, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="These are a Mask R-CNN's; its boxes alone: --set"):
        build_trained_detector(read_foreign(tmp_path / "x.pth"), CPU)


@pytest.mark.parametrize("settings", [(), ("model.strict_weights=false",)])
def test_batch_norm_s_weights_are_no_group_norm_s(tmp_path: Path, settings: tuple[str, ...]) -> None:
    ours, theirs = write_checkpoint(tmp_path / "last.pt"), write_foreign(tmp_path / "x.pth", 80)
    for trained in (
        read_trained_detector(str(ours), settings=["norm={kind: group}", *settings]),
        read_foreign(theirs, "norm={kind: group}", *settings),
    ):
        with pytest.raises(WeightsError) as caught:
            build_trained_detector(trained, CPU)
        num_statistics = sum("running_" in key for key in make_weights(2))
        assert str(caught.value).splitlines()[1:] == [
            f"norm.kind=group has no place for {num_statistics} running statistics",
            "Describe the model and norm that they were trained with.",
        ]


def test_conventions_of_whoever_wrote_the_weights_are_told(tmp_path: Path) -> None:
    path = write_foreign(tmp_path / "x.pth", 80)
    assert ["pool_sampling_ratio 0, not 1" in notice for notice in read_foreign(path).notices] == [True]
    assert read_foreign(path, "model.head.roi_head.pool_sampling_ratio=0").notices == ()


BROKEN_ENTRIES: dict[str, dict[str, Any]] = {
    "spec is no text": {"spec": 3},
    "model is no dictionary": {"model": [1]},
    "model holds a number": {"model": {"backbone.conv1.weight": 3}},
    "model has a number for a name": {"model": {3: torch.ones(1)}},
    "averages are no dictionary": {"ema_model": [1]},
    "averages hold a number": {"ema_model": {"backbone.conv1.weight": 3}},
    "class names are a number": {"class_names": 3},
    "class names are too few": {"class_names": ["cat"]},
    "class names are numbers": {"class_names": [1, 2]},
    "ids are a text": {"category_ids": "ab"},
    "ids are texts": {"category_ids": ["a", "b"]},
    "ids are too few": {"category_ids": [1]},
}


@pytest.mark.parametrize("entries", BROKEN_ENTRIES.values(), ids=BROKEN_ENTRIES)
def test_broken_entries_of_a_checkpoint_are_refused_with_its_name(
    tmp_path: Path, entries: dict[str, Any]
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, load_checkpoint(write_checkpoint(path)) | entries)
    with pytest.raises(WeightsError, match=r"last\.pt"):
        read_trained_detector(str(path), use_ema="ema_model" in entries)


def test_a_checkpoint_s_own_weights_are_taken_whatever_else_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, load_checkpoint(write_checkpoint(path)) | {"state_dict": {"a": torch.ones(1)}})
    assert_same(read_trained_detector(str(path)).weights, make_weights(2))


def test_an_exported_safetensors_file_knows_its_spec_and_classes(tmp_path: Path) -> None:
    header = {"spec": format_spec(SPEC), "class_names": '["cat", "dog"]', "category_ids": "null"}
    save_file(make_weights(2), tmp_path / "w.safetensors", header)
    trained = read_trained_detector(str(tmp_path / "w.safetensors"))
    assert (trained.class_names, trained.category_ids, trained.is_of_run) == (("cat", "dog"), None, False)
    assert_same(build_trained_detector(trained, CPU).state_dict(), make_weights(2))


@pytest.mark.parametrize("names", ['["cat"]', '["cat", 3]', "{}", '["cat", "\\u001b[2J"]'])
def test_classes_in_a_header_that_are_not_the_detector_s_are_refused(tmp_path: Path, names: str) -> None:
    header = {"spec": format_spec(SPEC), "class_names": names, "category_ids": "[1, 2]"}
    save_file(make_weights(2), tmp_path / "w.safetensors", header)
    with pytest.raises(WeightsError, match="its class_names or category_ids are not those of its 2 classes"):
        read_trained_detector(str(tmp_path / "w.safetensors"))


def test_an_unknown_kind_of_name_is_no_missing_file() -> None:
    with pytest.raises(WeightsError, match=r"^ftp://example\.org/w\.pth: nothing is fetched by ftp:"):
        read_trained_detector("ftp://example.org/w.pth")


def test_it_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    trained = read_trained_detector(str(write_checkpoint(tmp_path / "last.pt")))
    received: TrainedDetector = pickle.loads(pickle.dumps(trained))  # noqa: S301
    assert received.spec == trained.spec
    assert_same(received.weights, trained.weights)


@pytest.mark.parametrize("name", ["a\u00a0b", "\u0915\u094d\u200d\u0937", "\U0001f469\u200d\U0001f52c"])
def test_class_names_that_training_takes_are_read_back(tmp_path: Path, name: str) -> None:
    annotations = load_coco(write_classes(tmp_path / "names.json", name, "dog"))
    state = {
        "spec": format_spec(SPEC),
        "class_names": list(annotations.class_names),
        "category_ids": list(annotations.category_ids),
        "model": make_weights(2),
    }
    save_checkpoint(tmp_path / "last.pt", state)
    assert read_trained_detector(str(tmp_path / "last.pt")).class_names == (name, "dog")


def test_a_spec_may_need_what_the_command_line_sets(tmp_path: Path) -> None:
    text = format_spec(SPEC).replace("  kind: batch", "  kind: nonsense", 1)
    (tmp_path / "spec.yaml").write_text(text)
    path = write_foreign(tmp_path / "x.pth", 80)
    trained = read_trained_detector(
        str(path), spec_file=tmp_path / "spec.yaml", settings=["norm={kind: batch}"]
    )
    assert (trained.spec.norm, trained.saved_spec) == (SPEC.norm, None)
    assert trained.changes == {"norm.kind": "batch"}
