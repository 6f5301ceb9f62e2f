"""Readers of what annotation tools export: labelme, Label Studio, CVAT; and COCO's outlines."""
