"""A rehearsal in the run folder of the run that it is of."""

import json
from pathlib import Path

from hrdet_cli.engine.visualisation.rehearsal import draw_rehearsal
from hrdet_cli.runs.output_files import save_picture, write_text
from hrdet_cli.runs.rehearsal.rehearsal import Rehearsal
from hrdet_cli.runs.run_folder import RunFolder


def save_rehearsal(rehearsal: Rehearsal, folder: RunFolder) -> tuple[Path, Path]:
    """Write the document and the picture; returns where.

    Raises:
        OutputError: They cannot be written.
    """
    write_text(folder.rehearsal_file, json.dumps(rehearsal.to_json(), indent=2, ensure_ascii=False) + "\n")
    shape, plan = rehearsal.shape, rehearsal.plan
    picture = draw_rehearsal(
        title=f"{plan.name} on {shape} GPUs, rehearsed",
        note=f"{plan.batch_size} pictures a step, {plan.num_steps} steps; {rehearsal.computing.source}",
        pixels=[load.num_pixels for load in rehearsal.loads],
        boxes=[load.num_boxes for load in rehearsal.loads],
        steps={
            modelled.network.name: {
                "computing": modelled.step.computing,
                "imbalance": modelled.step.imbalance,
                "messages": modelled.step.messages,
                "gradients": modelled.step.gradients,
            }
            for modelled in rehearsal.modelled
        },
    )
    save_picture(picture, folder.rehearsal_picture)
    return folder.rehearsal_file, folder.rehearsal_picture
