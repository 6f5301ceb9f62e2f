"""Restricted Boltzmann machines: energies, learning, sampling, log Z."""
