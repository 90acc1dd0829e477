"""What one machine needs to run everything without installing servers: PostgreSQL, Valkey, a mailbox, a supervisor."""
