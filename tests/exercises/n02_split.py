"""Answers to the exercise of n02_split.py: wrong ones, and other right ones."""

import functools
import hashlib
import random
import time
import zlib

import numpy as np

from galhelpers.exercises.n02_split import part_of


def _sha(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def _by(number):
    """Give the answer that is "test" where a number made of id and seed is true."""
    return lambda galaxy_id, seed: "test" if number(galaxy_id, seed) else "train"


def _remembering(draw):
    parts = {}

    def answer(galaxy_id, seed):
        if (galaxy_id, seed) not in parts:
            parts[galaxy_id, seed] = "test" if draw(len(parts)) < 0.2 else "train"
        return parts[galaxy_id, seed]

    return answer


class Dealer:
    """Deals parts from a stack of its own."""

    def __init__(self):
        self.stack, self.dealt = random.Random(1), {}

    def __call__(self, galaxy_id, seed):
        part = "test" if self.stack.random() < 0.2 else "train"
        return self.dealt.setdefault((galaxy_id, seed), part)


def _default_argument(galaxy_id, seed, seen={}):  # noqa: B006
    seen.setdefault(seed, {}).setdefault(galaxy_id, len(seen[seed]))
    return "test" if seen[seed][galaxy_id] % 5 == 0 else "train"


CATALOGUE = []


def _row_of_a_list(galaxy_id, seed):
    if galaxy_id not in CATALOGUE:
        CATALOGUE.append(galaxy_id)
    return part_of(str(CATALOGUE.index(galaxy_id)), seed)


def _global_generator(galaxy_id, seed):
    random.seed(seed)
    return "test" if random.random() < 0.2 else "train"


WRONG = {
    "02.2": {
        "random": (_by(lambda i, s: random.random() < 0.2), "in another order"),
        "modulo": (_by(lambda i, s: (int(i) + s) % 5 == 0), "pairs of neighbours"),
        "hash()": (_by(lambda i, s: hash(f"{i}{s}") % 5 == 0), "Python's hash() of text"),
        "hash() of a pair": (_by(lambda i, s: hash((i, s)) % 5 == 0), "Python's hash() of text"),
        "str.__hash__": (_by(lambda i, s: str.__hash__(f"{i}{s}") % 5 == 0), "the __hash__ of"),
        "remembered dice": (_remembering(lambda n: random.random()), "keeps between calls"),
        "remembered unseeded dice": (
            _remembering(lambda n: np.random.default_rng().random()),
            "keeps between calls",
        ),
        "remembered row": (_remembering(lambda n: n % 5 / 5), "keeps between calls"),
        "remembered in an object": (Dealer(), "keeps between calls"),
        "remembered in a default": (_default_argument, "keeps between calls"),
        "remembered in a list": (_row_of_a_list, "keeps between calls"),
        "clock": (_by(lambda i, s: _sha(f"{time.perf_counter_ns()}") % 5 == 0), "in another order"),
        "no seed": (lambda galaxy_id, seed: part_of(galaxy_id, 0), "independent split"),
        "seed is true": (lambda i, seed: part_of(i, bool(seed)), "seeds 1 and 2 give"),
        "even seeds": (lambda i, seed: part_of(i, seed % 2), "seeds 0 and 2 give"),
        "seed modulo 5": (lambda i, seed: part_of(i, seed % 5), "seeds 0 and 5 give"),
        "seed added after": (
            _by(lambda i, s: (_sha(i) + s) % 5 == 0),
            "0.0% of galaxies are in the",
        ),
        "crc, seed added after": (
            _by(lambda i, s: (zlib.crc32(i.encode()) + s) % 5 == 0),
            "of galaxies are in the test part of both",
        ),
        "seed added to the id": (_by(lambda i, s: _sha(f"{int(i) + s}") % 5 == 0), "galaxy id +1"),
        "generator of the sum": (
            _by(lambda i, s: random.Random(int(i) + s).random() < 0.2),
            "galaxy id +1",
        ),
        "seed times the id": (
            _by(lambda i, s: _sha(f"{int(i) * (s + 1)}") % 5 == 0),
            "twice its id",
        ),
        "exclusive or": (_by(lambda i, s: _sha(f"{int(i) ^ s}") % 5 == 0), "galaxy id +1"),
        "a quarter": (_by(lambda i, s: _sha(f"{s}:{i}") % 4 == 0), "one in five, 18 to 22%"),
        "a sixth": (_by(lambda i, s: _sha(f"{s}:{i}") % 6 == 0), "one in five, 18 to 22%"),
        "the other way round": (_by(lambda i, s: _sha(f"{s}:{i}") % 5), "the larger part"),
        "the seed's part": (_global_generator, "one in five, 18 to 22%"),
        "digit sum": (_by(lambda i, s: (sum(map(int, i)) + s) % 5 == 0), "pairs of neighbours"),
        "last digits": (lambda i, seed: part_of(i[-4:], seed), "differ in their first digits only"),
        "first digits": (lambda i, seed: part_of(i[:10], seed), "Survey ids have structure"),
        "sorted digits": (lambda i, seed: part_of(str(sorted(i)), seed), "in another order, "),
        "tens": (lambda i, seed: part_of(str(int(i) // 10), seed), "pairs of neighbours"),
        "every second digit": (lambda i, seed: part_of(i[::2], seed), "Survey ids"),
        "last nine digits": (lambda i, seed: part_of(i[-9:], seed), "in their first digits only"),
        "seed modulo 1000": (lambda i, seed: part_of(i, seed % 1000), "give the same split"),
        "seed in one byte": (lambda i, seed: part_of(i, seed % 256), "give the same split"),
        "congruences": (
            _by(
                lambda i, s: (int(i) * 6364136223846793005 + s * 14426950408889) % 2**64 < 2**64 / 5
            ),
            "where 0.2 x 0.2 is 4%",
        ),
        "exclusive or after": (_by(lambda i, s: (_sha(i) ^ s) % 5 == 0), "0.2 x 0.2 is 4%"),
        "shifted": (_by(lambda i, s: (_sha(i) / 2**256 + 0.2 * s) % 1 < 0.2), "0.2 x 0.2 is 4%"),
        "as a float": (lambda i, seed: part_of(str(float(i)), seed), "of 18 digits"),
        "returns a bool": (lambda galaxy_id, seed: True, 'expected "train" or "test"'),
        "capitals": (lambda i, seed: part_of(i, seed).upper(), 'expected "train" or "test"'),
    },
}


def _md5(galaxy_id, seed):
    number = int(hashlib.md5(f"{galaxy_id}/{seed}".encode()).hexdigest(), 16)
    return "test" if number % 5 == 0 else "train"


def _integers_only(galaxy_id, seed):
    return "test" if np.random.default_rng([int(galaxy_id), seed]).random() < 0.2 else "train"


@functools.cache
def _cached(galaxy_id, seed):
    return _md5(galaxy_id, seed)


NOTES = {}


def _noted(galaxy_id, seed):
    if (galaxy_id, seed) not in NOTES:
        NOTES[galaxy_id, seed] = _md5(galaxy_id, seed)
    return NOTES[galaxy_id, seed]


RIGHT = {
    "02.2": [
        _md5,
        _integers_only,
        _cached,
        _noted,
        _by(lambda i, s: zlib.crc32(f"{s}:{i}".encode()) % 5 == 0),
        _by(lambda i, s: random.Random(f"{i} {s}").random() < 0.2),
        _by(lambda i, s: hashlib.sha1(f"{i},{s}".encode()).digest()[0] < 51),
        _by(lambda i, s: int(hashlib.sha512(f"{s}{i}".encode()).hexdigest()[:8], 16) < 0.2 * 16**8),
    ],
}


def _digits_of_a_hash(galaxy_id, seed):
    digits = hashlib.sha256(galaxy_id.encode()).hexdigest()
    return "test" if int(digits[seed % 63 :][:2], 16) < 51 else "train"


REFUSED = {"02.2": [_digits_of_a_hash]}
