import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galhelpers.learning.scaling import ScalingModel, scaling_model
from galhelpers.published import load_published

GPUS = np.array([1, 2, 4, 8, 16, 32, 64])


@given(
    parallel=st.floats(10, 1000),
    serial=st.floats(0.01, 1),
    communication=st.floats(0.01, 1),
)
def test_a_law_without_noise_is_found_again(parallel, serial, communication):
    # Shares of the parallel work large enough to be seen beside it.
    law = ScalingModel(parallel, serial * parallel, communication * parallel)
    found = scaling_model(GPUS, law.seconds(GPUS))
    assert found.parallel == pytest.approx(law.parallel, rel=1e-6)
    assert found.serial == pytest.approx(law.serial, rel=1e-6)
    assert found.communication == pytest.approx(law.communication, rel=1e-6)
    assert found.error < 1e-6


def test_terms_that_the_times_do_not_hold_are_left_out():
    found = scaling_model(GPUS, 640 / GPUS)
    assert found.parallel == pytest.approx(640)
    assert found.serial == pytest.approx(0, abs=1e-6)
    assert found.communication == pytest.approx(0, abs=1e-6)
    found = scaling_model(GPUS, 640 / GPUS + 5)
    assert (found.parallel, found.serial) == pytest.approx((640, 5))
    assert found.communication == pytest.approx(0, abs=1e-6)
    # Two times allow no more than one term.
    assert scaling_model([1, 2], [100, 60]).serial == 0


def test_efficiency_and_speed_up_by_hand():
    law = ScalingModel(parallel=90, serial=10, communication=5)
    assert law.seconds(1) == 100
    assert law.seconds(4) == pytest.approx(90 / 4 + 10 + 10)
    assert law.speed_up(4) == pytest.approx(100 / 42.5)
    np.testing.assert_allclose(law.efficiency(GPUS), 100 / (GPUS * law.seconds(GPUS)))
    assert law.efficiency(1) == 1
    assert (np.diff(law.efficiency(GPUS)) < 0).all()


def test_published_times_show_no_communication_and_a_start_for_the_head():
    published = load_published()
    laws, seconds = {}, {}
    for stage in (1, 2, 3):
        seconds[stage] = [published[f"khan2019_gpus_{n}_stage{stage}"].value for n in GPUS]
        laws[stage] = scaling_model(GPUS, seconds[stage])
        np.testing.assert_allclose(laws[stage].seconds(GPUS), seconds[stage], rtol=0.12)
        assert laws[stage].error < 0.07
    assert all(law.communication == 0 for law in laws.values())
    assert 4 < laws[1].serial < 9
    assert laws[2].serial == laws[3].serial == 0
    measured = [seconds[stage][0] / (64 * seconds[stage][-1]) for stage in (1, 2, 3)]
    assert measured == pytest.approx([0.493, 0.960, 0.941], abs=5e-4)


@pytest.mark.parametrize(
    ("gpus", "times", "message"),
    [
        ([1], [10], "two or more"),
        ([1, 1], [10, 11], "different"),
        ([1, 2], [10], "a time for each"),
        ([0, 2], [10, 5], "1 GPU or more"),
        ([1, 2], [10, 0], "above 0"),
        ([1, 2], [10, float("nan")], "above 0"),
    ],
)
def test_measurements_that_cannot_be_are_refused(gpus, times, message):
    with pytest.raises(ValueError, match=message):
        scaling_model(gpus, times)
