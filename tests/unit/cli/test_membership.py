"""Options for nodes, and what a launcher of nodes says of them."""

import pytest

from hrdet_cli.cli.membership import with_detected_nodes
from tests.unit.cli.given_options import options

SKYPILOT = {"SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.9", "SKYPILOT_NODE_RANK": "1"}


def set_all(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def test_nodes_of_a_launcher_stand_for_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, SKYPILOT)
    assert with_detected_nodes(options()) == options(nodes=2, master_addr="10.0.0.7", node_rank=1)
    assert with_detected_nodes(options(max_restarts=3)).max_restarts == 3


def test_options_that_are_given_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, SKYPILOT)
    for given in (options(nodes=1), options(nodes=3, master_addr="node1"), options(master_addr="node1")):
        assert with_detected_nodes(given) == given


def test_who_started_the_processes_answers_before_who_started_the_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    set_all(monkeypatch, SKYPILOT | of_torchrun | {"MASTER_ADDR": "node1", "MASTER_PORT": "1"})
    assert with_detected_nodes(options()) == options()
