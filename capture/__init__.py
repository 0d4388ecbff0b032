"""Frames and triggers: what the room shows, what the foot presses. Knows no DICOM, no spool."""
