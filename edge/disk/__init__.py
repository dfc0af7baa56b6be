"""What the spool is made of: its file, rows and room, and what is done when they are damaged."""
