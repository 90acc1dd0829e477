"""What one patient's data are, over all systems."""
