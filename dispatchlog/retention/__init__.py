"""How long data stay: what leaves when, what is kept back, what one patient's are and how they end."""
