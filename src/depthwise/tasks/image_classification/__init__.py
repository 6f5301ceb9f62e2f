"""Image classification on a pretrained backbone."""
