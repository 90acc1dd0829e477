"""The engine: moves rows of a dispatch log from PENDING to a final state. It knows lanes, never systems or providers."""
