import numpy as np

from hrdet_cli.engine.data.keyed_draws import first_uniforms
from hrdet_cli.engine.data.keys import generator_for, picture_key, picture_keys


def test_the_first_numbers_of_many_keys_are_those_of_their_generators() -> None:
    drawn = np.random.default_rng(0).integers(0, 2**63, 2000, dtype=np.int64)
    keys = np.concatenate([drawn, [0, 1, 2**32 - 1, 2**32, 2**63 - 1]])
    assert first_uniforms(keys).tolist() == [generator_for(key).random() for key in keys.tolist()]


def test_keys_of_many_showings_are_those_of_each() -> None:
    indices, occurrences = np.arange(300), np.arange(300) % 4
    keys = picture_keys(seed=2**40 + 7, epoch=9, indices=indices, occurrences=occurrences)
    assert keys.tolist() == [
        picture_key(seed=2**40 + 7, epoch=9, index=index, occurrence=occurrence)
        for index, occurrence in zip(indices.tolist(), occurrences.tolist(), strict=True)
    ]
