"""Messages to patients: may we, by which channel, when, in which words; and what came back. Sends nothing itself."""
