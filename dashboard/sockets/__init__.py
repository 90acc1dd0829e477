"""The Socket.IO process: tells open pages and apps of pharmacy orders' changes. It writes nothing."""
