"""Getting data from where they are published: downloads, archives, image services, accounts."""
