"""Nine numbers that a person could think of: what is measured of a galaxy without any learning.

Concentration and asymmetry follow the idea of Conselice (2003, ApJS 147, 1), in a simple form: the
frame is fixed and the sky is its median.
"""

import numpy as np

NAMES = (
    "red",
    "green",
    "blue",
    "ellipticity",
    "light in inner third",
    "light within 0.45",
    "light within 0.63",
    "asymmetry",
    "size",
)
"""What the nine columns are; radii are in half-widths of the picture, the inner third's is 0.32."""


def shape_features(pixels: np.ndarray) -> np.ndarray:
    """Measure colour, ellipticity, concentration, asymmetry and size of galaxies.

    Parameters
    ----------
    pixels
        uint8, shape (n, 3, height, width), the galaxy in the centre.

    Returns
    -------
    ndarray
        float64, shape (n, 9), columns as ``NAMES``: mean red, green and blue of the central pixels
        (0 to 1); ellipticity from second moments (0 round, 1 a line); the shares of the light
        within three radii; the difference between a galaxy and itself turned by 180 degrees, over
        its light; and the sum of the second moments (half-widths squared). Neighbours more than
        0.71 half-widths from the centre do not count.
    """
    grey = np.asarray(pixels).mean(axis=1, dtype=np.float32) / 255
    light = (grey - np.median(grey, axis=(1, 2), keepdims=True)).clip(0) + np.float32(1e-9)
    height, width = grey.shape[1:]
    v, u = np.mgrid[-1 : 1 : 1j * height, -1 : 1 : 1j * width]
    radius2 = u**2 + v**2
    weights = [1, u * u, v * v, u * v, *(radius2 < limit for limit in (0.1, 0.2, 0.4))]
    near = np.stack([(radius2 < 0.5) * weight for weight in weights], axis=-1)
    sums = light.reshape(len(light), -1).astype(float) @ near.reshape(-1, len(weights))
    uu, vv, uv, *within = (sums[:, 1:] / sums[:, :1]).T
    ellipticity = np.hypot(uu - vv, 2 * uv) / (uu + vv)
    asymmetry = np.abs(light - light[:, ::-1, ::-1]).sum(axis=(1, 2)) / light.sum(axis=(1, 2))
    row, column = height // 2, width // 2
    centre = np.asarray(pixels)[:, :, row - 2 : row + 2, column - 2 : column + 2]
    colour = centre.mean(axis=(2, 3)) / 255
    return np.column_stack([colour, ellipticity, *within, asymmetry, uu + vv])
