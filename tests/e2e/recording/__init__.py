"""Recording: scenes that people and programs play in a booted Debian while the agent's flight recorder runs."""
