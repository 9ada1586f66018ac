"""The light of galaxies and the point spread function, held against GalSim and astropy.

GalSim (Rowe et al. 2015, Astronomy and Computing 10, 121) is the field's reference for images of
galaxies. It does not run on Windows; there these tests are skipped.
"""

import dataclasses

import numpy as np
import pytest
import torch

from galhelpers.survey import TELESCOPES, linear_images, sample_galaxies
from galhelpers.survey.light import GZ2_FRAME, R90_PER_RE, _sersic, semi_major_r90
from galhelpers.survey.optics import blur, moffat_as_gaussians

SIZE = 160
STILL = {"psf_scatter": 0.0, "band_shift": 0.0, "pointing": 0.0, "psf_ratios": ()}


@pytest.fixture
def galsim():
    return pytest.importorskip("galsim", reason="GalSim does not run on Windows")


def smooth_galaxy(n: float, axis_ratio: float):
    return sample_galaxies(1, seed=0).assign(
        kind="smooth", odd="none", edge_on=False, axis_ratio=axis_ratio, sersic_n=n, pa=30.0,
        petro_r90=8.0, mag=16.0, bulge_fraction=1.0, bulge_r90=1.0, lopsidedness=0.0,
        arm_strength=0.0, bar_strength=0.0, edge_on_bulge="not-edge-on", dust=0.0,
    )  # fmt: skip


def same_in_galsim(galsim, truth, scope, pixel: float, size: int = SIZE) -> np.ndarray:
    """Draw the same galaxy, of flux 1 out to infinity, with the same PSF."""
    row = truth.iloc[0]
    smooth = torch.tensor(1.0)
    r90 = semi_major_r90(
        torch.tensor(row.petro_r90), torch.tensor(row.axis_ratio), smooth, 0 * smooth
    )
    # GalSim's half-light radius is that of the circle of equal area.
    r_e = float(r90) / R90_PER_RE * np.sqrt(row.axis_ratio)
    profile = galsim.Sersic(n=row.sersic_n, half_light_radius=r_e)
    profile = profile.shear(q=row.axis_ratio, beta=row.pa * galsim.degrees)
    psf = galsim.Moffat(beta=scope.psf_beta, fwhm=scope.psf_fwhm)
    seen = galsim.Convolve(profile, psf)
    return seen.drawImage(nx=size, ny=size, scale=pixel).array


@pytest.mark.parametrize("axis_ratio", [1.0, 0.6, 0.35])
@pytest.mark.parametrize("n", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("name", ["sdss", "decals"])
def test_sersic_and_exponential_galaxies_agree_with_galsim(galsim, n, axis_ratio, name):
    truth = smooth_galaxy(n, axis_ratio)
    scope = dataclasses.replace(TELESCOPES[name], **STILL)
    pixel = scope.pixel_scale
    ours = linear_images(
        truth, scope, SIZE, noise=False, neighbours=False, field_of_view=SIZE * pixel
    )[0, 1].numpy()
    theirs = same_in_galsim(galsim, truth, scope, pixel)
    # The magnitude is the light in a frame of Galaxy Zoo 2.
    frame = same_in_galsim(galsim, truth, scope, GZ2_FRAME * 8.0 / SIZE).sum()
    theirs = theirs / frame * 10 ** (-0.4 * (16.0 - 22.5))
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.01)
    assert np.abs(ours - theirs).max() < 0.01 * theirs.max()


@pytest.mark.parametrize("n", [1.0, 4.0])
def test_other_frames_hold_the_light_that_galsim_says(galsim, n):
    truth, frame = smooth_galaxy(n, 0.7), GZ2_FRAME * 8.0
    scope = dataclasses.replace(TELESCOPES["sdss"], **STILL)
    inside = same_in_galsim(galsim, truth, scope, frame / SIZE).sum()
    for factor in (0.3, 0.6, 2.0):
        ours = linear_images(
            truth, scope, SIZE, noise=False, neighbours=False, field_of_view=factor * frame
        )[0, 1]
        theirs = same_in_galsim(galsim, truth, scope, factor * frame / SIZE).sum() / inside
        share = float(ours.sum()) / 10 ** (-0.4 * (16.0 - 22.5))
        assert share == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("beta", [2.5, 3.5, 4.765])
@pytest.mark.parametrize("pixel", [0.2, 0.396])
def test_the_point_spread_function_is_galsims_moffat(galsim, beta, pixel):
    scope = dataclasses.replace(TELESCOPES["sdss"], psf_beta=beta, **STILL)
    point = torch.zeros((1, 3, 65, 65))
    point[:, :, 32, 32] = 1.0
    seen = blur(point, torch.tensor([pixel]), scope, torch.zeros((1, 7)))[0, 1].numpy()
    moffat = galsim.Moffat(beta=beta, fwhm=scope.psf_fwhm)
    # The light of a pixel counts as spread over it: what is added is the bare PSF.
    theirs = moffat.drawImage(nx=65, ny=65, scale=pixel, method="no_pixel")
    assert np.abs(seen - theirs.array).max() < 0.01 * theirs.array.max()
    assert seen.sum() == pytest.approx(theirs.array.sum(), abs=0.01)


@pytest.mark.parametrize("n", [0.7, 1.0, 2.5, 4.0])
def test_the_sersic_profile_is_astropys(n):
    from astropy.modeling.models import Sersic1D

    r = torch.linspace(0.05, 6, 200)
    ours = _sersic(r, torch.tensor(n), torch.tensor(1.3))
    theirs = Sersic1D(amplitude=1.0, r_eff=1.3, n=n)(r.numpy())
    # Ours is not normalised: compare shapes, at the half-light radius as astropy does.
    ours = ours / _sersic(torch.tensor(1.3), torch.tensor(n), torch.tensor(1.3))
    assert np.allclose(ours, theirs, rtol=0.01, atol=0.01 * theirs.max())


@pytest.mark.parametrize("beta", [2.0, 3.5, 6.0])
def test_a_moffat_in_gaussians_is_astropys(beta):
    from astropy.modeling.models import Moffat1D

    r = np.linspace(0, 6, 300)
    core = 0.5 / np.sqrt(2 ** (1 / beta) - 1)
    theirs = Moffat1D(amplitude=1.0, gamma=core, alpha=beta)(r)
    theirs = theirs * (beta - 1) / (np.pi * core**2)
    ours = sum(
        weight * np.exp(-0.5 * (r / sigma) ** 2) / (2 * np.pi * sigma**2)
        for weight, sigma in moffat_as_gaussians(beta)
    )
    assert np.abs(ours - theirs).max() < 0.01 * theirs[0]
    assert sum(weight for weight, _ in moffat_as_gaussians(beta)) == pytest.approx(1)


def test_a_moffat_with_infinite_light_is_refused():
    with pytest.raises(ValueError, match="beta above 1, got 1"):
        moffat_as_gaussians(1.0)
