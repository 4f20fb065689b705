"""What a detector might find: annotations with the errors that detectors make."""

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.coco_results import DetectionTable


def perturbed_detections(annotations: CocoAnnotations, *, seed: int = 0) -> DetectionTable:
    """Objects of all classes with boxes that are off, some missed, doubled or of another class; and others.

    Small objects are missed more often, scores of what is right are higher, and the first two classes are
    often confused.

    Args:
        annotations: Loaded with their ground truth.
        seed: Other detections for another one.
    """
    random = np.random.default_rng(seed)
    truth = annotations.truth
    assert truth is not None
    num_classes = len(annotations.class_names)
    rows: list[tuple[int, int, list[float], float]] = []

    def add(picture: int, label: int, box: np.ndarray, score: float) -> None:
        rows.append((picture, label, box.tolist(), float(np.clip(score, 0.01, 0.999))))

    for row in np.flatnonzero(~truth.is_crowd).tolist():
        picture, label, box = int(truth.picture_indices[row]), int(truth.labels[row]), truth.boxes[row]
        side = float(np.sqrt(box[2] * box[3]))
        if random.random() < 0.55 * np.exp(-side / 40) + 0.05:
            continue
        off = random.normal(0, 0.06 if random.random() < 0.8 else 0.3, 4) * box[[2, 3, 2, 3]]
        found = label
        if random.random() < (0.3 if label < 2 else 0.06):
            found = 1 - label if label < 2 and num_classes > 1 else int(random.integers(num_classes))
        add(picture, found, box + off, random.beta(6, 2))
        if random.random() < 0.1:
            add(picture, found, box + random.normal(0, 0.05, 4) * box[[2, 3, 2, 3]], random.beta(3, 4))
    for picture, (height, width) in enumerate(annotations.sizes.tolist()):
        for _ in range(random.poisson(1.5)):
            size = random.uniform(0.05, 0.4, 2) * (width, height)
            corner = random.uniform(0, 1, 2) * ((width, height) - size)
            add(
                picture,
                int(random.integers(num_classes)),
                np.concatenate([corner, size]),
                random.beta(1.5, 5),
            )
    rows.sort(key=lambda one: (int(annotations.image_ids[one[0]]), -one[3]))
    boxes = np.array([one[2] for one in rows]).reshape(-1, 4)
    boxes[:, 2:] = boxes[:, 2:].clip(min=1)
    return DetectionTable(
        image_ids=annotations.image_ids[np.array([one[0] for one in rows], dtype=np.int64)],
        labels=np.array([one[1] for one in rows], dtype=np.int64),
        boxes=boxes.round(3),
        scores=np.array([one[3] for one in rows]),
    )
