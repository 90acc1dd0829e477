"""The courier system: pharmacy orders from paid to delivered."""
