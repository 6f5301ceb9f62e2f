"""Readers of pictures with boxes: VOC, COCO, YOLO, CSV."""
