"""A configuration becomes a spec file that commands take, with weights that fit it."""

from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.errors import OutputError, WeightsError
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.import_config import import_config
from hrdet_cli.specs.loading import load_spec
from tests.mmdetection_configs import BASE_OF_VERSION_3, DATA_OF_VERSION_3, OF_VERSION_3


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """FCOS on HRNet-W18."""
    (tmp_path / "base.py").write_text(BASE_OF_VERSION_3, encoding="utf-8")
    (tmp_path / "data.py").write_text(DATA_OF_VERSION_3, encoding="utf-8")
    (tmp_path / "my fcos.py").write_text(OF_VERSION_3, encoding="utf-8")
    return tmp_path / "my fcos.py"


def test_the_file_is_a_spec_that_reads_well(config: Path, tmp_path: Path) -> None:
    imported = import_config(config, out=tmp_path / "spec.yaml")
    assert imported.notes == ()
    assert imported.spec_file.read_text(encoding="utf-8") == (
        "# my fcos.py, from mmdetection 3, by hrdet import.\n"
        f"# Launch: hrdet train --spec {tmp_path}/spec.yaml\n"
        "base: mmdet3-fcos-hrnet-w18\n"
        "name: my-fcos\n"
        "description: my fcos.py, from mmdetection 3\n"
        "model:\n"
        "  weights: imagenet:hrnetv2_w18\n"
        "augmentation:\n"
        "  scales_pixels: [[1333, 640], [1333, 800]]\n"
        "optimisation:\n"
        "  num_epochs: 24\n"
        "  schedule:\n"
        "    drop_epochs: [16, 22]\n"
        "  max_warmup_share: null\n"
    )
    assert load_spec(spec_file=imported.spec_file).spec.optimisation.num_epochs == 24


def test_a_spec_that_is_there_is_replaced_only_when_told(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert import_config(config).spec_file == Path("my fcos.yaml")
    with pytest.raises(OutputError, match=r"my fcos\.yaml: is there already; .* --overwrite"):
        import_config(config)
    import_config(config, overwrites=True)


def test_weights_are_named_if_they_fit_and_else_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE_OF_VERSION_3, encoding="utf-8")
    narrow = "neck=dict(out_channels=32), bbox_head=dict(feat_channels=32{})"
    for name, more in (("narrow", ""), ("three", ", num_classes=3"), ("deep", ", stacked_convs=5")):
        text = f"_base_ = 'base.py'\nmodel = dict({narrow.format(more)})\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    spec = load_spec(spec_file=import_config(tmp_path / "narrow.py", out=tmp_path / "n.yaml").spec_file).spec
    with torch.device("meta"):
        detector = build_detector(spec, num_classes=80, trains=False)
    tensors = {key: torch.zeros_like(value, device="cpu") for key, value in detector.state_dict().items()}
    checkpoint = tmp_path / "w.pth"
    torch.save({"state_dict": to_mmdetection(tensors)}, checkpoint)

    imported = import_config(tmp_path / "narrow.py", checkpoint=str(checkpoint), out=tmp_path / "a.yaml")
    assert load_spec(spec_file=imported.spec_file).spec.model.weights == str(checkpoint)
    with pytest.raises(WeightsError, match=r"w\.pth: does not fit the config: "):
        import_config(tmp_path / "deep.py", checkpoint=str(checkpoint), out=tmp_path / "b.yaml")
    with pytest.raises(WeightsError, match=r"w\.pth: has 80 classes, and the config 3\. To start from it"):
        import_config(tmp_path / "three.py", checkpoint=str(checkpoint), out=tmp_path / "c.yaml")
    assert not (tmp_path / "b.yaml").exists()
    assert not (tmp_path / "c.yaml").exists()


@pytest.mark.usefixtures("config")
def test_a_run_that_is_counted_in_iterations_is_told(tmp_path: Path) -> None:
    text = "_base_ = 'my fcos.py'\ntrain_cfg = dict(_delete_=True, max_iters=90000)\n"
    (tmp_path / "long.py").write_text(text, encoding="utf-8")
    (note,) = import_config(tmp_path / "long.py", out=tmp_path / "spec.yaml").notes
    assert note.startswith("the config counts its run in iterations, and the spec has 12 epochs")


def test_a_rate_without_a_batch_and_missing_data_are_told(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(BASE_OF_VERSION_3, encoding="utf-8")
    notes = import_config(tmp_path / "base.py", out=tmp_path / "spec.yaml").notes
    assert [note[:45] for note in notes] == [
        "the config names no training data; the spec h",
        "the config does not say for how many pictures",
    ]
