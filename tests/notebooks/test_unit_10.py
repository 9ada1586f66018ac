"""What notebook 10 defines on the page finds what it must."""

import numpy as np
import pytest

from tests.notebooks.pages import definitions

GPUS = 2 ** np.arange(7)


@pytest.mark.parametrize(
    "terms", [(100, 0, 0), (640, 5, 0), (90, 10, 5), (1000, 0.01, 1), (10, 2, 0.1)]
)
def test_law_of_notebook_10_finds_times_without_noise_again(terms):
    law = definitions("10_new_survey", "law")["law"]
    parallel, serial, exchange = terms
    seconds = parallel / GPUS + serial + exchange * np.log2(GPUS)
    *found, error = law(GPUS, seconds)
    np.testing.assert_allclose(found, terms, rtol=1e-6, atol=1e-6)
    assert error < 1e-6


def test_law_of_notebook_10_on_the_published_times():
    from galhelpers.published import load_published

    law, published = definitions("10_new_survey", "law")["law"], load_published()
    known = {1: (439.036, 6.385, 0.0606), 2: (972.788, 0, 0.0328), 3: (1694.576, 0, 0.0264)}
    for stage, (parallel, serial, error) in known.items():
        seconds = [published[f"khan2019_gpus_{n}_stage{stage}"].value for n in GPUS]
        found = law(GPUS, np.array(seconds))
        assert found == pytest.approx([parallel, serial, 0, error], abs=5e-4)
        np.testing.assert_allclose(found[0] / GPUS + found[1], seconds, rtol=0.12)
