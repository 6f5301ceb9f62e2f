"""Deep autoencoders, dense and convolutional."""
