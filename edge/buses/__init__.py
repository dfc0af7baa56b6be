"""CAN buses: SocketCAN and what else python-can opens, their state, and what frames say of themselves."""
