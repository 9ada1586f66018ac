"""Answers to the exercises of n02_pixel_values.py: wrong ones, and other right ones."""

import numpy as np
import torch

from galhelpers.exercises.n02_pixel_values import channel_statistics

WRONG = {
    "02.2": {
        "per image": (
            lambda images, is_train: (
                (images[is_train] / 255).mean((2, 3)),
                (images / 255).std((2, 3)),
            ),
            "got shape (5, 3)",
        ),
        "mean of the images' deviations": (
            lambda images, is_train: (
                (images[is_train] / 255).mean((0, 2, 3)),
                (images[is_train] / 255).std((2, 3)).mean(0),
            ),
            "average of the images' own",
        ),
        "with the test images": (
            lambda images, is_train: channel_statistics(images, np.ones(len(images), bool)),
            "that of all 8 images",
        ),
        "0 to 255": (
            lambda images, is_train: channel_statistics(images * 255.0, is_train),
            "which scale",
        ),
        "one for all channels": (
            lambda images, is_train: (
                (images[is_train] / 255).mean(),
                (images[is_train] / 255).std(),
            ),
            "one number for all",
        ),
    },
    "02.3": {
        "each band": (
            lambda rgb, soft: np.minimum(np.arcsinh(rgb / soft), 1),
            "a factor of its own",
        ),
        "clipped": (
            lambda rgb, soft: np.clip(
                rgb * np.arcsinh(rgb.mean(0) / soft) / rgb.mean(0),
                0,
                1,
            ),
            "yellow or white",
        ),
        "divided by the frame's maximum": (
            lambda rgb, soft: (
                (image := rgb * np.arcsinh(rgb.mean(0) / soft) / rgb.mean(0)) / image.max()
            ),
            "when a bright star is in the frame",
        ),
        "too bright": (
            lambda rgb, soft: rgb * np.arcsinh(rgb.mean(0) / soft) / rgb.mean(0),
            "a screen shows 0 to 1",
        ),
        "linear": (lambda rgb, soft: rgb / np.maximum(rgb.max(0), 1), "Compare with the formula"),
        "0 / 0": (
            lambda rgb, soft: (
                (image := rgb * np.arcsinh(rgb.mean(0) / soft) / rgb.mean(0))
                / np.maximum(image.max(0), 1)
            ),
            "found nan",
        ),
    },
}


def _torch_statistics(images, is_train):
    train = torch.from_numpy(images)[torch.from_numpy(is_train)].float() / 255
    return train.mean((0, 2, 3)), train.std((0, 2, 3))


def _stretch_with_epsilon(rgb, soft):
    intensity = rgb.mean(0) + 1e-12
    image = rgb * (np.arcsinh(intensity / soft) / intensity)
    brightest = image.max(0)
    return np.where(brightest > 1, image / np.where(brightest > 1, brightest, 1), image)


RIGHT = {
    "02.2": [_torch_statistics],
    "02.3": [_stretch_with_epsilon],
}
