"""A booted Debian 12 with a simulated EC2 around it, and what the scenarios need to use them."""
