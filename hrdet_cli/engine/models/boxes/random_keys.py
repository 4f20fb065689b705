"""Random numbers that are a function of a picture's key and nothing else.

A generator has a state, so what it gives depends on who asked before: on the batch, the process, the device.
Hashing (key, stream, counter) has none. All arithmetic is in int64 and stays below 2**63, so that CPU and
CUDA agree to the bit.
"""

from torch import Tensor

_LOW_32_BITS = 0xFFFFFFFF
_GOLDEN_RATIO = 0x9E3779B9
# lowbias32's multipliers. The second, equal modulo 2**32, is written as a negative number: the product of a
# 32-bit value and anything beyond 2**31 would overflow int64.
_FIRST_MULTIPLIER = 0x7FEB352D
_SECOND_MULTIPLIER = 0x846CA68B - 2**32


def bits_from_keys(keys: Tensor, *, counters: Tensor, stream: int) -> Tensor:
    """Random bits for each key, the same wherever and whenever they are asked for.

    Args:
        keys: ``(N,)`` int64, all 64 bits count.
        counters: ``(R,)`` int64 in ``0 .. 2**32 - 1``, which of a key's numbers.
        stream: Which of a key's sequences, ``0 .. 2**31 - 1``; different uses take different streams.

    Returns:
        ``(N, R)`` int64, uniform in ``0 .. 2**32 - 1``, on the keys' device.
    """
    low, high = keys & _LOW_32_BITS, (keys >> 32) & _LOW_32_BITS
    first = _mix_32_bits((low + stream * _GOLDEN_RATIO) & _LOW_32_BITS)
    second = _mix_32_bits(high ^ first)
    bits = _mix_32_bits(counters ^ first[:, None])
    return _mix_32_bits((bits + second[:, None]) & _LOW_32_BITS)


def _mix_32_bits(values: Tensor) -> Tensor:
    """C. Wellons's lowbias32, a bijection on 32-bit values that are held in int64."""
    mixed = values ^ (values >> 16)
    mixed.mul_(_FIRST_MULTIPLIER).bitwise_and_(_LOW_32_BITS)
    mixed ^= mixed >> 15
    mixed.mul_(_SECOND_MULTIPLIER).bitwise_and_(_LOW_32_BITS)
    mixed ^= mixed >> 16
    return mixed
