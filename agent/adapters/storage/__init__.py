"""What must survive a restart: transcripts, identity, trust, settings."""
