"""JPEG 2000 in and out in child processes, and the proof that lossless was lossless."""
