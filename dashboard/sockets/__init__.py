"""The Socket.IO process: tells open pages and apps of changes of orders and tickets. It writes nothing."""
