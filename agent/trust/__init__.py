"""Who may: pairing, the household, rights, and the audit log."""
