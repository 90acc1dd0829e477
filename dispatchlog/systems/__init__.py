"""The rules of each system: what becomes a dispatch, what it says, and what follows when it left."""
