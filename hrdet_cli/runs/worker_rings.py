"""How much shared memory data workers hand their batches over in; knows no spec and no torch."""

BLOCKS_PER_WORKER = 3
"""Batches that a worker keeps in shared memory: two that are asked for in advance, and one more."""
BYTES_PER_PIXEL = 3
BYTES_PER_GPU = 2**28
"""For NCCL, which exchanges between GPUs of a node through shared memory where it cannot do so directly, and
for the queues of the workers."""


def shared_bytes_per_process(*, num_workers: int, training_bytes: int, evaluation_bytes: int) -> int:
    """Shared memory of a process; the workers of training stay while those of an evaluation work.

    Args:
        num_workers: Of a process.
        training_bytes: Of a batch on the largest canvas.
        evaluation_bytes: Likewise.
    """
    return num_workers * BLOCKS_PER_WORKER * (training_bytes + evaluation_bytes) + BYTES_PER_GPU
