"""The appliance: takes images from modalities, keeps them safe, forwards them to the archive."""

__version__ = "0.1.0"
