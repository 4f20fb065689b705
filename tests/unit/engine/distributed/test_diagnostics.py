"""Timings of collectives, as far as one process goes."""

import pytest
import torch

from hrdet_cli.engine.distributed.diagnostics import CollectiveTiming, measure_collectives


def test_one_process_has_nobody_to_exchange_messages_with() -> None:
    assert measure_collectives(torch.device("cpu")) == ()


def test_bandwidth_is_the_message_by_its_time_whatever_the_number_of_processes() -> None:
    timing = CollectiveTiming(num_bytes=100_000_000, median_seconds=0.05, num_repetitions=5)
    assert timing.gigabytes_per_second == pytest.approx(2.0)
