"""What the domains' ports are made of: the network, the disk, the programs; each adapter knows no other one."""
