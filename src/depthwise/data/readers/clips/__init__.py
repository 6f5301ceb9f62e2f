"""Readers of clips: video files, folders of frames, strips."""
