"""What time it is: boot time for everything, and who is believed about the true time."""
