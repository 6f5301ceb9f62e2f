"""Backbones of images: raw images in, feature maps out."""
