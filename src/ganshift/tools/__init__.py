"""One file or folder a command; each can go without touching another."""
