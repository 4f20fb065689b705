import pytest

from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.errors import SpecError
from tests.unit.cli.given_options import options


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (options(nodes=2), "--nodes 2: needs --master-addr, the address of one of the machines"),
        (options(master_addr="10.0.0.1"), "--master-addr: needs --nodes, the number of machines"),
        (
            options(nodes=2, master_addr="10.0.0.1", node_rank=2),
            "--node-rank 2: must be below --nodes, which is 2",
        ),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(given: ProcessOptions, told: str) -> None:
    with pytest.raises(SpecError) as raised:
        given.check()
    assert raised.value.problems == [told]


@pytest.mark.parametrize(
    "given", [options(), options(nodes=1), options(nodes=2, master_addr="node1", node_rank=1)]
)
def test_options_that_fit_pass(given: ProcessOptions) -> None:
    given.check()


def test_options_without_effect_under_another_launcher_are_refused_together() -> None:
    with pytest.raises(SpecError) as raised:
        options(nodes=2, master_addr="a", node_rank=0, max_restarts=3).refuse_for_members("torchrun")
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "--max-restarts",
        "--node-rank",
    ]
