"""Galaxies with images and labels: catalogs, files, and how they come to this computer."""
