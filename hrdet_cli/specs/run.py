"""How a run is carried out, evaluated and recorded."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from hrdet_cli.specs.base import LongShort, Spec


class ViewsSpec(Spec):
    """Test-time augmentation: the detector looks at each picture in several ways."""

    scales_pixels: Annotated[tuple[LongShort, ...], Field(min_length=1)] | None = None
    """Each (long, short): the picture is looked at in each of these scales; null for
    `evaluation.scale_pixels` alone."""
    flip: bool = True
    """Look at each also with left and right exchanged."""


class EvaluationSpec(Spec):
    """How pictures are evaluated."""

    scale_pixels: LongShort = (1333, 800)
    """(long, short): a picture is made as large as fits, keeping its aspect ratio."""
    test_time_augmentation: ViewsSpec | None = None
    """Look at each picture in several ways and merge what is found; every evaluation takes so many times as
    long, those of a training run too. null looks once."""
    batch_size: PositiveInt = 1
    """Pictures per forward pass; the detections do not depend on it beyond rounding."""
    every_num_epochs: NonNegativeInt = 1
    """Evaluate after every so many epochs, and after the last; 0 never does."""
    best_by: Literal["auto", "box", "mask", "recall", "loss"] = "auto"
    """The best checkpoint has the highest average precision of boxes, or of masks, or the highest average
    recall of 1000 proposals, or the lowest validation loss; `auto` is `recall` for heads that only propose
    and `box` for all others."""
    with_loss: bool = False
    """In training, compute the losses of the validation pictures, too, at each evaluation."""
    patience: PositiveInt | None = None
    """End the run after so many evaluations in a row without a new best, by `best_by`, of the weights or of
    their average; null trains all epochs."""
    back_end: Literal["hotcoco", "pycocotools"] = "hotcoco"
    """What computes COCO's numbers. They are the same to the last bit; pycocotools, with which they were
    defined, takes many times as long, and does not know LVIS's rules."""

    @property
    def scales_of_views(self) -> tuple[LongShort, ...]:
        """Each (long, short) that a picture is looked at in."""
        views = self.test_time_augmentation
        return (self.scale_pixels,) if views is None else views.scales_pixels or (self.scale_pixels,)


class RunSpec(Spec):
    """Seed, device, precision and what is written when."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Every random draw of the run is a function of it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one."""
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float64"] = "auto"
    """`auto` is bfloat16 autocast of the forward pass on GPUs that have it, and float32 elsewhere; weights of
    other code are evaluated in float32. `float32` rounds nothing further, `tf32` is float32 whose products
    have 10 bits on NVIDIA's GPUs; `float64` is for comparing runs, such as the same one over 1 and over 8
    processes: slow, but without rounding that hides differences."""
    deterministic: bool = False
    """Compute by algorithms that give the same bits each time, and refuse operators that have none. A GPU is
    slower so; a CPU gives the same bits anyway."""
    compile: Literal["off", "model", "step"] = "off"
    """What of a training step torch compiles, as one graph for each canvas: nothing, backbone and neck
    (model), or all that makes the losses (step). The first step on a canvas then takes minutes."""
    log_every_steps: PositiveInt = 10
    """Steps between two lines on a screen that is not a terminal; the first and the last step have one, too.
    metrics.jsonl has every step."""
    checkpoint_every_epochs: PositiveInt = 4
    """Keep a checkpoint of its own after every so many epochs, beside the last and the best."""
    num_epoch_checkpoints: PositiveInt | None = None
    """Keep only the newest so many checkpoints of epochs; null keeps all."""
    checkpoint_every_minutes: NonNegativeFloat = 10
    """Write the last checkpoint also inside an epoch, at the first step after so many minutes; 0 never
    does."""
    trackers: tuple[str, ...] = ()
    """Where the run's numbers, pictures and spec go beside its folder: `tensorboard`, `wandb`, `mlflow`, or
    what an installed package has under its entry points for `hrdet_cli.trackers`."""
    num_pictured_batches: NonNegativeInt = 2
    """Draw the first so many training batches into the run folder."""
