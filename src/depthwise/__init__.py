"""depthwise"""
