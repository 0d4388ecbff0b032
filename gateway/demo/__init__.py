"""The main job, shown: a modality, the gateway, an archive that is away, and a proof at the end."""
