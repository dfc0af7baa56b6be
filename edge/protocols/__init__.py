"""What is heard on a bus beside single frames: J1939, ISO-TP, OBD-II and UDS, and what may be asked there."""
