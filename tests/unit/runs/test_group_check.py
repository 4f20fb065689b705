import pytest
from torch import nn

from hrdet_cli.errors import GroupError
from hrdet_cli.runs.group_check import compare_facts, weights_checksum


def test_processes_that_agree_pass() -> None:
    compare_facts(["a", "b"], [{"version of torch": "2.15.0"}] * 2)


def test_every_difference_is_told_with_its_values_and_whose_they_are() -> None:
    facts = [
        {"version of torch": "2.15.0", "optimisation.optimiser.momentum": "0.9", "run.seed": "0"},
        {"version of torch": "2.11.0", "optimisation.optimiser.momentum": "0.9", "run.seed": "0"},
        {"version of torch": "2.11.0", "optimisation.optimiser.momentum": "0.5", "run.seed": "0"},
    ]
    with pytest.raises(GroupError) as raised:
        compare_facts(["a", "b", "c"], facts)
    assert str(raised.value) == (
        "the processes contradict each other; start all with the same command and data:\n"
        "version of torch: 2.15.0 on rank 0 (a), but 2.11.0 on ranks 1 (b), 2 (c)\n"
        "optimisation.optimiser.momentum: 0.9 on ranks 0 (a), 1 (b), but 0.5 on rank 2 (c)"
    )


def test_a_setting_that_a_process_lacks_is_a_difference() -> None:
    with pytest.raises(GroupError, match=r"norm\.back_end: coalesced on rank 0 \(a\), but not set on rank 1"):
        compare_facts(["a", "b"], [{"norm.back_end": "coalesced"}, {}])


def test_the_checksum_of_weights_sees_one_changed_value_and_not_the_object() -> None:
    model, twin = nn.Linear(3, 2), nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    assert weights_checksum(model) == weights_checksum(twin)
    twin.bias.data[1] += 1e-6
    assert weights_checksum(model) != weights_checksum(twin)
