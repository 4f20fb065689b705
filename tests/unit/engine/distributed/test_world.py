import pytest
import torch
import torch.distributed as dist

from hrdet_cli.engine.distributed.activity import ACTIVITY, waiting_for
from hrdet_cli.engine.distributed.collectives import gather_everywhere, sum_over_processes
from hrdet_cli.engine.distributed.world import World, current_world, working_alone


@pytest.fixture
def pretended_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process believes that it is the second of two, and any exchange with the first would fail."""
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)


@pytest.mark.usefixtures("pretended_pair")
def test_a_process_that_works_alone_exchanges_nothing_and_belongs_to_its_group_again_afterwards() -> None:
    with working_alone():
        assert current_world() == World()
        assert sum_over_processes(torch.tensor(3)).item() == 3
        assert gather_everywhere("mine") == ["mine"]
        with waiting_for("losses of a step"):
            pass
    assert current_world() == World(1, 2)


def test_what_a_process_does_alone_is_not_counted_among_what_all_do() -> None:
    before = ACTIVITY.num_collectives
    with working_alone(), waiting_for("losses of a step"):
        pass
    assert ACTIVITY.num_collectives == before


@pytest.mark.usefixtures("pretended_pair")
def test_an_error_in_what_a_process_does_alone_ends_its_solitude() -> None:
    with pytest.raises(KeyError), working_alone():
        raise KeyError
    assert current_world() == World(1, 2)
