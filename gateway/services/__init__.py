"""What the DICOM port answers, one file a service."""
