"""DICOM itself: upper layer, commands, status table, data set walk and re-encoding."""
