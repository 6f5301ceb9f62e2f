"""Devices: the catalogue, this machine measured, and their corrections."""
