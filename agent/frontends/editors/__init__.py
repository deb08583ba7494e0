"""`agent acp`: sessions as an agent of the Agent Client Protocol (version 1), for editors. See docs/acp.md."""
