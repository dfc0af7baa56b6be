"""TimescaleDB, Redis and Mosquitto as plain processes of this user: no Docker, no root, nothing installed on the host.

Debian 13's packages are unpacked into a private folder (root.py) and run in a sandbox of their own (sandbox.py). The
servers are daemons: they outlive the command that started them, and FLEETWIRE_HOME/services.json says where they are.
"""
