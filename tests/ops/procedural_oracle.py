"""What a synapse that is not stored should be, in Python's integers, one at a time.

It follows the docstrings of `brainjax.ops._procedural` and shares no code with it.
"""

import numpy as np

_MASK = 2**32 - 1
_CELLS, _OCTAVES = 8, 31


def threefry(key, first, second):
    """Threefry-2x32-20 as printed in Salmon et al. 2011."""
    keys = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    x, y = first + keys[0] & _MASK, second + keys[1] & _MASK
    for turn in range(1, 6):
        for bits in (13, 15, 26, 6) if turn % 2 else (17, 29, 16, 24):
            x = x + y & _MASK
            y = (y << bits | y >> 32 - bits) & _MASK ^ x
        x = x + keys[turn % 3] & _MASK
        y = y + keys[(turn + 1) % 3] + turn & _MASK
    return x, y


def position(shape, words, source, place):
    """The position that stands at a place of a row."""
    if shape.kind != "distance" or not shape.grouped:
        return place
    return permuted(threefry(np.asarray(words).tolist(), 3, 0), source, place, shape.longest)


def target(shape, words, where, source, position):
    """The target at a position of a row, or None where there is no synapse."""
    key = threefry(np.asarray(words).tolist(), 1, 0)
    if shape.kind == "distance":
        (ny, nx), (ry, rx) = shape.grid, shape.reach
        dy, dx = position // (2 * rx + 1) - ry, position % (2 * rx + 1) - rx
        y, x = source // nx + dy, source % nx + dx
        if shape.periodic:
            y, x = y % ny, x % nx
        inside = 0 <= y < ny and 0 <= x < nx and not (shape.hollow and dy == dx == 0)
        hit = threefry(key, source, position)[0] // 2 < int(where[position])
        return y * nx + x if inside and hit else None
    begin, end = np.asarray(where).view("<i8")[source : source + 2, 0].tolist()
    if position >= end - begin:
        return None
    if shape.kind == "with_replacement":
        to = threefry(key, source, position)[0] * (shape.num_post - shape.hollow) >> 32
    elif shape.kind == "without_replacement":
        to = permuted(key, source, position, shape.num_post - shape.hollow)
    else:
        to = permuted(key, 0, begin + position, shape.num_post * shape.degree) // shape.degree
    return to + (shape.hollow and to >= source)


def permuted(key, row, number, size):
    """Where the permutation of a row takes a number below `size`."""
    bits = (size - 1).bit_length() // 2
    left_size = -(-size // 2**bits)
    turns = max(3, -(-16 // max(bits, 1)))
    keys = [threefry(key, row, i) for i in range(turns)]

    def mixed(x, k):
        x = (x * 0x9E3779B1 + k) % 2**32
        x = (x ^ x >> 16) * 0x85EBCA6B % 2**32
        return (x ^ x >> 13) * 0xC2B2AE35 % 2**32

    while True:
        left, right = number >> bits, number % 2**bits
        for left_key, right_key in keys:
            left = (left + (mixed(right, left_key) * left_size >> 32)) % left_size
            right ^= mixed(left, right_key) >> 32 - bits
        number = left << bits | right
        if number < size:
            return number


def factor(words, table, source, position):
    """The factor at a position of a row, each operation rounded to the dtype of the table."""
    word = threefry(threefry(np.asarray(words).tolist(), 2, 0), source, position)[0]
    distance = word >> 1 | 1
    octave = distance.bit_length() - 1
    place = (distance / 2**octave - 1) * _CELLS
    c = table[((word & 1) * _OCTAVES + octave) * _CELLS + int(place)]
    x = table.dtype.type(place - int(place))
    value = ((c[3] * x + c[2]) * x + c[1]) * x + c[0]
    return min(max(value, table[-1, 0]), table[-1, 1])
