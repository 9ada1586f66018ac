"""Sizes of galaxies by position, from the catalogue of the SDSS."""

import io
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import requests

from galhelpers.data.web.cutout_checks import first_words
from galhelpers.data.web.services import (
    LONGEST_WAIT,
    PASSING,
    FetchError,
    explain,
    retry_after,
    service_address,
    shown,
)

MATCH_RADIUS = 3.0
"""Arcsec within which an object is taken for the galaxy that was asked for."""


def sdss_radii(
    catalog: pd.DataFrame,
    *,
    release: int = 17,
    batch: int = 500,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: float = 60.0,
) -> pd.DataFrame:
    """Ask the SDSS for the Petrosian radius of galaxies of which only the position is known.

    Parameters
    ----------
    catalog
        Columns ``ra``, ``dec`` (ICRS, degrees), and if there is one ``petro_r90`` (arcsec): only
        galaxies without it are asked for.
    release
        Data release of the SDSS.
    batch
        Positions a request.
    attempts, backoff, timeout
        As in `galhelpers.data.web.cutouts.fetch_cutouts`; ``timeout`` in seconds.

    Returns
    -------
    A copy of the catalogue with the column ``petro_r90``, filled where it had no value: petroR90_r,
    the radius that holds 90 % of the Petrosian flux in the r band, in arcsec, of the nearest
    primary object; NaN where there is none within 3 arcsec, it has no radius, or the galaxy no
    position.

    Raises
    ------
    ValueError
        For positions that are none.
    FetchError
        When the SDSS does not answer, or answers with something else than a table.
    """
    ra, dec = (catalog[name].to_numpy(np.float64, na_value=np.nan) for name in ("ra", "dec"))
    if np.isinf(ra).any() or (np.abs(dec) > 90).any():
        raise ValueError("Expected ra and dec in degrees, found numbers that are no positions.")
    radii = np.full(len(catalog), np.nan)
    if "petro_r90" in catalog:
        known = pd.to_numeric(catalog["petro_r90"], errors="coerce")
        radii = known.to_numpy(np.float64, na_value=np.nan, copy=True)
    unknown = np.flatnonzero(np.isnan(radii) & ~np.isnan(ra) & ~np.isnan(dec))
    if not len(unknown):
        return catalog.assign(petro_r90=radii)
    # These take seconds to load, and only this function needs them.
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astroquery import cache_conf
    from astroquery.sdss import SDSSClass, conf

    base = service_address("sdss")
    sky = SkyCoord(ra[unknown], dec[unknown], unit="deg")
    server = SDSSClass()
    with (
        conf.set_temp("skyserver_baseurl", base),
        # Answers must not be kept: an error page would be kept as well.
        cache_conf.set_temp("cache_active", False),
    ):
        for start in range(0, len(unknown), batch):
            rows = slice(start, start + batch)

            def ask(here: SkyCoord = sky[rows]) -> requests.Response:
                return server.query_crossid_async(
                    here,
                    radius=MATCH_RADIUS * u.arcsec,
                    photoobj_fields=["ra", "dec", "petroR90_r"],
                    data_release=release,
                    timeout=timeout,
                    cache=False,
                )

            table = _read_table(_insist(ask, base, attempts, backoff), base)
            if len(table) == 0:
                continue
            found = SkyCoord(table["ra"].to_numpy(), table["dec"].to_numpy(), unit="deg")
            nearest, distance, _ = sky[rows].match_to_catalog_sky(found)
            radius = table["petroR90_r"].to_numpy()[nearest]
            # -9999 stands for a radius that could not be measured.
            good = (distance.arcsec <= MATCH_RADIUS) & (radius > 0)
            radii[unknown[rows]] = np.where(good, radius, np.nan)
    return catalog.assign(petro_r90=radii)


def _insist(
    ask: Callable[[], requests.Response], base: str, attempts: int, backoff: float
) -> requests.Response:
    """Ask again while that may help."""
    for attempt in range(1, attempts + 1):
        wait = backoff * 2 ** (attempt - 1)
        problem: requests.Response | Exception
        try:
            problem = response = ask()
            if response.status_code == 200:
                return response
            wait = retry_after(response) or wait
            again = response.status_code in PASSING and wait <= LONGEST_WAIT
        except requests.exceptions.RequestException as error:
            problem = error
            again = not isinstance(error, requests.exceptions.SSLError)
        if not again or attempt == attempts:
            break
        time.sleep(wait)
    raise FetchError(explain(problem, base))


def _read_table(response: requests.Response, base: str) -> pd.DataFrame:
    """Read an answer of the cross-identification: a line ``#Table1``, then CSV."""
    columns = ["ra", "dec", "petroR90_r"]
    try:
        table = pd.read_csv(io.StringIO(response.text), comment="#")
        return table[columns].astype(np.float64).dropna().reset_index(drop=True)
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise FetchError(
            f"{shown(base)} answered with something else than a table of {', '.join(columns)} "
            f"(it begins: {first_words(response.content) or 'not text'}). Try again later."
        ) from error
