"""Forms that torch no longer writes, and instructions that no state dict has."""

import pickle
from io import BytesIO

import pytest
import torch

from hrdet_cli.engine.weights.pickles import StandIn, Storage, read_pickle

PERSISTENT = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x03tQ"
OLDEST_TENSOR = b"ctorch._utils\n_rebuild_tensor\n(%sK\x00K\x03\x85K\x01\x85tR" % PERSISTENT


def storage_of(key: str, dtype: torch.dtype, num_elements: int) -> Storage:
    assert (key, dtype, num_elements) == ("0", torch.float32, 3)
    return Storage(torch.arange(3.0).view(torch.uint8), dtype)


def interpret(instructions: bytes) -> object:
    result, unknown = read_pickle(BytesIO(b"\x80\x02" + instructions + b"."), storage_of=storage_of)
    assert unknown == []
    return result


def test_the_first_form_of_a_parameter_is_its_tensor() -> None:
    parameter = interpret(b"ctorch.nn.parameter\nParameter\n(%stR(\x89\x89Ntb" % OLDEST_TENSOR)
    assert isinstance(parameter, torch.Tensor)
    assert parameter.tolist() == [0, 1, 2]


def test_python_2_s_ordered_dictionary_has_pairs() -> None:
    got = interpret(b"ccollections\nOrderedDict\n(](](U\x01bK\x01e](U\x01aK\x02eetR")
    assert list(got.items()) == [("b", 1), ("a", 2)]  # type: ignore[attr-defined]


def test_python_2_s_built_ins_are_known() -> None:
    assert type(interpret(b"c__builtin__\nlist\n)R")) is StandIn


def test_bytes_and_sizes_come_out_as_they_are() -> None:
    values = (b"\x00\xff", torch.Size((2, 3)), 2**100, -0.5)
    assert interpret(pickle.dumps(values, protocol=2)[2:-1]) == values


@pytest.mark.parametrize(
    "name", ["torch.FloatTensor", "torch.ComplexFloatStorage", "os.system", "mmcvx.Config"]
)
def test_names_that_are_not_known_are_told_and_do_nothing(name: str) -> None:
    module, _, rest = name.rpartition(".")
    instructions = b"\x80\x02c%s\n%s\n)R." % (module.encode(), rest.encode())
    result, unknown = read_pickle(BytesIO(instructions))
    assert (type(result), unknown) == (StandIn, [name])


def test_names_may_come_from_the_stack_and_are_told_all_the_same() -> None:
    result, unknown = read_pickle(BytesIO(b"\x80\x04\x8c\x02os\x8c\x06system\x93)R."))
    assert (type(result), unknown) == (StandIn, ["os.system"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_of_every_protocol_come_out_as_they_are(protocol: int) -> None:
    shared = ["a", b"b"]
    values = {"x": shared, "y": shared, "z": {"long " * 99: (1, 2.5, None, True)}}
    assert read_pickle(BytesIO(pickle.dumps(values, protocol=protocol))) == (values, [])


REFUSED = {
    "an object by its class": b"(o",
    "a registered extension": b"\x82\x01",
    "a persistent name": b"P0\n",
    "a set": b"\x8f",
    "items for a tuple": b")(K\x01e",
    "a call of a number": b"K\x01)R",
    "memory of another kind": b"(U\x06modulectorch\nFloatStorage\nU\x010U\x03cpuK\x03tQ",
    "memory without a name": PERSISTENT.replace(b"U\x010", b")\x85"),
    "memory of no number": PERSISTENT.replace(b"K\x03tQ", b"U\x01atQ"),
    "a size of no number": OLDEST_TENSOR.replace(b"K\x01\x85tR", b"U\x01a\x85tR"),
    "a view of memory": PERSISTENT.replace(b"tQ", b"(U\x010K\x00K\x01ttQ"),
}


@pytest.mark.parametrize("instructions", REFUSED.values(), ids=REFUSED)
def test_what_no_state_dict_needs_is_refused(instructions: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        interpret(instructions)


def test_the_bytes_behind_a_pickle_are_not_read() -> None:
    file = BytesIO(pickle.dumps({"a": 1}, protocol=2) + b"more")
    assert read_pickle(file) == ({"a": 1}, [])
    assert file.read() == b"more"
