"""Training on several data sets at once, from the spec to the batches."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.dataset.opening import open_training_data
from hrdet_cli.runs.dataset.part import TrainingData
from hrdet_cli.runs.plan_facts import describe_plan
from hrdet_cli.runs.planning import make_plan
from hrdet_cli.runs.resume import check_same_spec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec, format_spec, load_spec


def _write(folder: Path, *, categories: list[str], num_pictures: int, grey: int) -> None:
    folder.mkdir()
    numbers = range(num_pictures)
    for number in numbers:
        Image.fromarray(np.full((64, 96, 3), grey, dtype=np.uint8)).save(folder / f"{number}.png")
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 64, "width": 96} for n in numbers],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % len(categories), "bbox": [2, 3, 28, 37]}
            for n in numbers
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories, 1)],
    }
    (folder / "all.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two data sets of the classes cat and dog, listed otherwise, and one that has birds too."""
    _write(tmp_path / "one", categories=["cat", "dog"], num_pictures=6, grey=10)
    _write(tmp_path / "two", categories=["dog", "cat"], num_pictures=2, grey=200)
    _write(tmp_path / "birds", categories=["cat", "dog", "bird"], num_pictures=3, grey=90)
    return tmp_path


def _spec(root: Path, *names: str, settings: tuple[str, ...] = ()) -> ExperimentSpec:
    sets = ", ".join(f"{{annotations: {name}/all.json, images: {name}}}" for name in names)
    own = (
        "data.demo=null",
        f"data.root={root}",
        "data.val={annotations: one/all.json, images: one}",
        f"data.train=[{sets}]",
        "data.num_workers=0",
        "data.batch_size_per_process=2",
    )
    return load_spec(preset="demo", settings=[*own, *settings]).spec


def _open(spec: ExperimentSpec) -> TrainingData:
    return open_training_data(spec.data)


def test_batches_have_the_pictures_of_all_sets_with_the_classes_of_the_first(root: Path) -> None:
    spec = _spec(root, "one", "two")
    data = _open(spec)
    assert data.train.annotations.class_names == ("cat", "dog")
    with build_training_loader(spec, data.train, torch.device("cpu")) as loader:
        batches = list(loader.batches(0))
    seen = Counter[tuple[int, str]]()
    for batch in batches:
        for number, record in enumerate(batch.records):
            grey = int(batch.images.pixels[number, 0, 5, 5])
            label = int(batch.targets.labels[number][batch.targets.is_valid[number]][0])
            seen[grey, data.train.annotations.class_names[label]] += 1
            assert record.file_name.startswith(f"1:{root}/one/" if grey == 10 else f"2:{root}/two/")
    assert seen == {(10, "cat"): 3, (10, "dog"): 3, (200, "dog"): 1, (200, "cat"): 1}
    assert len({int(key) for batch in batches for key in batch.images.keys}) == 8


def test_shares_decide_how_much_of_an_epoch_each_set_is(root: Path) -> None:
    spec = _spec(root, "one", "two", settings=("data.shares=[1, 3]",))
    steps = build_steps(spec, _open(spec).train.annotations, num_processes=1)
    assert steps.num_steps == 4
    assert steps.sampler.expected[:6].sum() == pytest.approx(2)
    assert steps.sampler.expected[6:].sum() == pytest.approx(6)


def test_sets_of_other_classes_are_refused_with_what_both_have(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        _open(_spec(root, "one", "birds"))
    assert str(caught.value) == (
        f"{root}/birds/all.json: its categories are not those of {root}/one/all.json: it alone has 'bird'. "
        "Objects that one of them has no category for would be learnt as background. To train on what both "
        "have: --set 'data.classes=['\"'\"'cat'\"'\"', '\"'\"'dog'\"'\"']'. If its pictures show none, name "
        "all classes to train on in data.classes, which a data set may then lack."
    )
    both = _open(_spec(root, "one", "birds", settings=("data.classes=[dog, cat]",)))
    assert both.train.annotations.class_names == ("dog", "cat")
    assert both.train.annotations.num_boxes.tolist() == [1] * 6 + [1, 1, 0]
    every = _spec(root, "birds", "one", settings=("data.classes=[bird, cat]", "data.val=null"))
    assert _open(every).train.annotations.class_names == ("bird", "cat")
    with pytest.raises(DataError, match=r"data\.classes names categories that it lacks: 'cow'"):
        _open(_spec(root, "one", "birds", settings=("data.classes=[cow, cat]",)))


def test_a_list_is_written_and_read_back_and_its_mistakes_have_a_place(root: Path) -> None:
    spec = _spec(root, "one", "two")
    path = root / "spec.yaml"
    path.write_text(format_spec(spec))
    assert load_spec(spec_file=path).spec.data.train == spec.data.train
    with pytest.raises(
        SpecError, match=r"data\.train\.1\.imges: unknown key; did you mean data\.train\.1\.im"
    ):
        load_spec(
            spec_file=path, settings=["data.train=[{annotations: a, images: b}, {annotations: c, imges: d}]"]
        )
    with pytest.raises(SpecError, match=r"data\.shares: are 2, but data\.train has 1; give one for each"):
        load_spec(spec_file=path, settings=["data.train={annotations: a, images: b}", "data.shares=[1, 2]"])


def test_one_data_set_in_a_list_is_that_data_set(root: Path) -> None:
    listed, plain = _open(_spec(root, "one")), _spec(root, "one")
    assert listed.train.annotations.file_names.tolist() == [f"{number}.png" for number in range(6)]
    assert listed.train.annotations.set_numbers is None
    assert plain.data.training_sets == plain.data.train


def test_validation_data_have_the_classes_by_their_names_too(root: Path) -> None:
    other_order = _spec(root, "one", "two", settings=("data.val={annotations: two/all.json, images: two}",))
    val = _open(other_order).val
    assert val is not None
    assert (val.annotations.class_names, val.annotations.category_ids) == (("cat", "dog"), (2, 1))
    assert [val.annotations.targets_of(index)[1].tolist() for index in (0, 1)] == [[1], [0]]
    alone = _spec(root, "one", settings=("data.train={annotations: one/all.json, images: one}",))
    with pytest.raises(DataError, match="its categories are not those of"):
        _open(alone.model_copy(update={"data": alone.data.model_copy(update={"val": other_order.data.val})}))
    birds = "data.val={annotations: birds/all.json, images: birds}"
    with pytest.raises(DataError, match=r"birds/all\.json: .*they differ in bird \(id 3\)"):
        _open(_spec(root, "one", "two", settings=(birds,)))


def test_the_plan_tells_of_each_set_and_of_validation_pictures_among_them(root: Path) -> None:
    spec = _spec(root, "two", "one", settings=("data.shares=[1, 1]",))
    plan = make_plan(LoadedSpec(spec, {}), _open(spec))
    assert [(one.annotations, one.num_used) for one in plan.data_sets] == [
        (f"{root}/two/all.json", 2),
        (f"{root}/one/all.json", 6),
    ]
    assert [one.epoch_share for one in plan.data_sets] == pytest.approx([0.5, 0.5])
    facts = dict(describe_plan(plan, spec))
    assert facts["data set 1"] == f"{root}/two/all.json: 2 pictures, 50.0% of an epoch"
    (shared,) = [note.text for note in plan.notes if note.key == "pictures-shared"]
    assert shared.startswith(
        f"6 validation pictures are trained on too, so AP promises too much: 2:{root}/one/0"
    )


def test_pictures_of_several_sets_are_noted_by_where_they_are(root: Path) -> None:
    again = ("data.train.1.images=two/../one", "data.train.1.annotations=one/all.json")
    spec = _spec(root, "one", "two", settings=again)
    notes = {note.key: note.text for note in make_plan(LoadedSpec(spec, {}), _open(spec)).notes}
    assert notes["pictures-repeated"].startswith(
        f"6 pictures are in several training data sets, such as 1:{root}/one/0.png, which is "
        f"2:{root}/two/../one/0.png too"
    )


def test_a_set_that_is_wrong_is_told_by_its_key(root: Path) -> None:
    elsewhere = _spec(root, "one", "two", settings=("data.train.1.annotations=two/none.json",))
    with pytest.raises(DataError, match=r"none\.json: .*; data\.train\.1\.annotations points there"):
        _open(elsewhere)
    (root / "two" / "0.png").unlink()
    with pytest.raises(DataError, match=r"Check data\.train\.1\.images, or take them out"):
        _open(_spec(root, "one", "two"))


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_the_same_batches_wherever_the_sets_are(
    root: Path,
) -> None:
    settings = ("data.shares=[1, 2]", "data.sampling={kind: class-aware}", "data.batch_size_per_process=1")
    spec = _spec(root, "one", "two", settings=settings)
    data = _open(spec)
    (root.parent / "moved").mkdir()
    shutil.copytree(root, root.parent / "moved", dirs_exist_ok=True)
    moved_spec = _spec(root.parent / "moved", "one", "two", settings=settings)
    moved = _open(moved_spec)
    assert moved.train.annotations.fingerprint == data.train.annotations.fingerprint
    with build_training_loader(spec, data.train, torch.device("cpu")) as loader:
        whole = list(loader.batches(1))
    assert len({record.file_name for batch in whole for record in batch.records}) < len(whole)
    with build_training_loader(moved_spec, moved.train, torch.device("cpu")) as loader:
        rest = list(loader.batches(1, first_step=3))
    assert len(rest) == len(whole) - 3
    for batch, expected in zip(rest, whole[3:], strict=True):
        assert torch.equal(batch.images.pixels, expected.images.pixels)
        assert torch.equal(batch.images.keys, expected.images.keys)
        assert torch.equal(batch.targets.boxes, expected.targets.boxes)
    check_same_spec(moved_spec, format_spec(spec), file=root / "spec.yaml")
    others = _spec(root, "one", "two", settings=(*settings, "data.shares=[1, 1]"))
    with pytest.raises(SpecError, match=r"data\.shares: is \[1\.0, 2\.0\]"):
        check_same_spec(others, format_spec(spec), file=root / "spec.yaml")


@pytest.mark.parametrize("sampling", ["shuffle", "repeat-factor, threshold: 0.9", "class-aware"])
def test_processes_share_the_same_pictures_and_an_epoch_is_entered_anywhere(
    root: Path, sampling: str
) -> None:
    settings = ("data.shares=[3, 1]", f"data.sampling={{kind: {sampling}}}")
    spec = _spec(root, "one", "two", settings=settings)
    annotations = _open(spec).train.annotations
    alone = build_steps(spec, annotations, num_processes=1)
    assert alone.sampler.expected[:6].sum() == pytest.approx(3 * alone.sampler.expected[6:].sum())
    halves = build_steps(
        spec.model_copy(update={"data": spec.data.model_copy(update={"batch_size_per_process": 1})}),
        annotations,
        num_processes=2,
    )
    for epoch in range(2):
        requests = [request.showings for request in alone.requests(epoch, World())]
        entered = [request.showings for request in alone.requests(epoch, World(), first_step=2)]
        assert entered == requests[2:]
        ranks = [list(halves.requests(epoch, World(rank, 2))) for rank in range(2)]
        both = [{*one.showings, *other.showings} for one, other in zip(*ranks, strict=True)]
        assert both == list(map(set, requests))
