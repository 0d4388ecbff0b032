"""Frames and triggers: what the room shows and what the foot presses. Knows no DICOM and no spool."""
