"""Who is on the network and what runs there."""
