"""From spec to engine: how large pictures are cut, and what is said of it. Does not import torch."""

from collections.abc import Iterator

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.engine.data.tiles import Cuts, Tiling, cut_into_tiles
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.wording import counted


def build_tiling(data: DataSpec) -> Tiling | None:
    """How pictures are cut; None where they are taken whole."""
    tiles = data.tiles
    if tiles is None:
        return None
    return Tiling(
        side=tiles.side_pixels,
        overlap=tiles.overlap_pixels,
        min_share=tiles.min_box_share,
        with_whole=tiles.with_whole_pictures,
    )


def most_pixels(data: DataSpec) -> int:
    """Larger pictures are not decoded."""
    return MAX_PICTURE_PIXELS if data.tiles is None else data.tiles.max_picture_pixels


def cut_pictures(annotations: CocoAnnotations, data: DataSpec) -> tuple[CocoAnnotations, tuple[str, ...]]:
    """Training pictures as the spec has them, whole or in tiles, and what the user should know of that."""
    tiling = build_tiling(data)
    if tiling is None:
        return annotations, ()
    cuts = cut_into_tiles(annotations, tiling)
    return cuts.annotations, tuple(_notices(annotations, cuts))


def _notices(annotations: CocoAnnotations, cuts: Cuts) -> Iterator[str]:
    num_objects = int(annotations.num_boxes.sum())
    tiles = counted(len(cuts.annotations), "tile")
    if cuts.num_cut == 0:
        yield f"{annotations.title}: no picture is larger than data.tiles.side_pixels, so none is cut"
        return
    yield f"{annotations.title}: {counted(len(annotations), 'picture')} in {tiles}, which count as pictures"
    if cuts.num_never_whole:
        yield (
            f"{annotations.title}: {cuts.num_never_whole / num_objects:.1%} of the objects are whole in no "
            f"tile, and {cuts.num_never_shown / num_objects:.1%} too little of them in any to be learnt; "
            "enlarge data.tiles.overlap_pixels or side_pixels, or set data.tiles.with_whole_pictures=true"
        )
