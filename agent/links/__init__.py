"""Links from gateway to gateway: opened, kept, and everything that is asked and followed over them."""
