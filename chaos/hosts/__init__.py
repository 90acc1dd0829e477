"""Several machines inside this one: hosts in network namespaces, and what breaks between them."""
