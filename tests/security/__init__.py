"""The security checklist of docs/security.md, item by item."""
