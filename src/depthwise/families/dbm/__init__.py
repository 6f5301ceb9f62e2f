"""Deep Boltzmann machines."""
