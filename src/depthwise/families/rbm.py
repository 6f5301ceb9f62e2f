"""The restricted Boltzmann machine as an estimator. Its mathematics: rbm_network.py (energies and
conditionals), contrastive.py (learning), partition.py (likelihoods)."""

from __future__ import annotations

from depthwise.families.rbm_network import RBMNetwork

__all__ = ["RBMNetwork"]
