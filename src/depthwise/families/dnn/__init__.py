"""Deep neural networks on flat inputs."""
