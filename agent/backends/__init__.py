"""What a session can be made of. Each backend is found by its entry point in `lan_agent.backends`."""
