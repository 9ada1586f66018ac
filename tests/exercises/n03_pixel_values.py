"""Answers to the exercises of n03_pixel_values.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
import torch

from galhelpers.exercises.n03_pixel_values import (
    STATISTICS_MISTAKES,
    STRETCH_MISTAKES,
    channel_statistics,
    stretch,
)

WRONG = {
    "03.1": STATISTICS_MISTAKES
    | {
        "per image": (
            lambda images, is_train: (
                (images[is_train] / 255).mean((2, 3)),
                (images / 255).std((2, 3)),
            ),
            "got shape (5, 3)",
        ),
        "rounded": (
            lambda images, is_train: [one.round(2) for one in channel_statistics(images, is_train)],
            "to 2 decimals",
        ),
        "overflow": (
            lambda images, is_train: (
                images[is_train].sum((0, 2, 3), dtype=np.uint8) / 255 / images[is_train, 0].size,
                channel_statistics(images, is_train)[1],
            ),
            "as the mean at [0], where 0.1",
        ),
        "swapped": (lambda *x: channel_statistics(*x)[::-1], "in the other order"),
        "one for all": (
            lambda images, is_train: (images[is_train].mean() / 255, images[is_train].std() / 255),
            "of each channel",
        ),
        "six numbers": (
            lambda images, is_train: np.ravel(channel_statistics(images, is_train)),
            "expected two arrays of shape (3,)",
        ),
    },
    "03.4": STRETCH_MISTAKES
    | {
        "division by 0": (
            lambda rgb, soft: (
                (image := rgb * np.arcsinh(rgb.mean(0) / soft) / rgb.mean(0))
                / np.maximum(image.max(0), 1)
            ),
            "is 0 / 0",
        ),
        "square frames": (
            lambda rgb, soft: stretch(rgb, soft)[:, :, : rgb.shape[1]],
            "got shape (3, 3, 3)",
        ),
        "green": (
            lambda rgb, soft: rgb * np.arcsinh(rgb[1] / soft) / rgb[1],
            "you give nan at [0, 2, 1], where 0 is right",
        ),
        "bytes": (lambda rgb, soft: (255 * stretch(rgb, soft)).astype(np.uint8), "you give 255 at"),
        "no light is 1": (
            lambda rgb, soft: stretch(rgb, soft) + (rgb.sum(0) == 0),
            "you give 1 at",
        ),
        "black where a band is": (
            lambda rgb, soft: np.where((rgb == 0).any(0), 0, stretch(rgb, soft)),
            "you give 0 at [2, 2, 2]",
        ),
        "soft at least 0.1": (lambda rgb, soft: stretch(rgb, max(soft, 0.1)), "soft 0.01, you"),
        "soft at most 1": (lambda rgb, soft: stretch(rgb, min(soft, 1)), "soft 5, you give"),
        "faint pixels black": (
            lambda rgb, soft: np.where(rgb.mean(0) < 1e-3, 0, stretch(rgb, soft)),
            "you give 0 at [0, 1, 0]",
        ),
        "channels last": (lambda rgb, soft: np.moveaxis(stretch(rgb, soft), 0, -1), "(6, 6, 3)"),
        "below 1": (lambda rgb, soft: np.minimum(stretch(rgb, soft), 0.99), "you give 0.99 at"),
    },
}


def _torch_statistics(images, is_train):
    train = torch.from_numpy(images)[torch.from_numpy(is_train)].float() / 255
    return train.mean((0, 2, 3)), train.std((0, 2, 3))


def _statistics_by_loops(images, is_train):
    means, deviations = [], []
    for channel in range(3):
        pixels = [
            v / 255
            for i, keep in zip(images, is_train, strict=True)
            if keep
            for v in i[channel].ravel().tolist()
        ]
        means.append(sum(pixels) / len(pixels))
        deviations.append((sum((v - means[-1]) ** 2 for v in pixels) / len(pixels)) ** 0.5)
    return [means, deviations]


def _pandas_statistics(images, is_train):
    table = pd.DataFrame(np.moveaxis(images[is_train], 1, -1).reshape(-1, 3) / 255)
    return table.mean(), table.std()


def _stretch_with_epsilon(rgb, soft):
    intensity = rgb.mean(0) + 1e-12
    image = rgb * (np.arcsinh(intensity / soft) / intensity)
    brightest = image.max(0)
    return np.where(brightest > 1, image / np.where(brightest > 1, brightest, 1), image)


def _stretch_by_loops(rgb, soft):
    image = np.zeros_like(rgb)
    for y in range(rgb.shape[1]):
        for x in range(rgb.shape[2]):
            pixel = rgb[:, y, x]
            light = sum(pixel) / 3
            pixel = pixel * (np.arcsinh(light / soft) / light if light else 1 / soft)
            image[:, y, x] = pixel / max(pixel) if max(pixel) > 1 else pixel
    return image.tolist()


def _torch_stretch(rgb, soft):
    rgb = torch.from_numpy(rgb).float()
    light = rgb.mean(0)
    image = rgb * torch.nan_to_num(torch.asinh(light / soft) / light, nan=1 / soft)
    return image / image.amax(0).clamp(min=1)


RIGHT = {
    "03.1": [
        _torch_statistics,
        _statistics_by_loops,
        _pandas_statistics,
        lambda images, is_train: np.array(channel_statistics(images, is_train)),
    ],
    "03.4": [_stretch_with_epsilon, _stretch_by_loops, _torch_stretch],
}


def _half_precision(images, is_train):
    train = images[is_train].astype(np.float16) / np.float16(255)
    total = np.add.reduce(train, axis=(0, 2, 3), dtype=np.float16)
    return total / np.float16(train[:, 0].size), channel_statistics(images, is_train)[1]


def _near_black(rgb, soft):
    light = np.maximum(rgb.mean(axis=0), 1e-15)
    image = np.where(light > 1e-4, rgb * np.arcsinh(light / soft) / light, 0)
    return image / np.maximum(image.max(axis=0), 1)


def _added(rgb, soft):
    light = rgb.mean(axis=0) + 1e-6
    image = rgb * np.arcsinh(light / soft) / light
    return image / np.maximum(image.max(axis=0), 1)


REFUSED = {
    "03.1": [_half_precision],
    "03.4": [_near_black, _added, lambda rgb, soft: stretch(rgb, max(soft, 0.01))],
}
