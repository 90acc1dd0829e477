"""Every outgoing act of care leaves exactly once: the parts that are neither actor nor page."""
