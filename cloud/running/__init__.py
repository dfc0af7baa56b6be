"""The cloud's processes on one machine: supervised, found again, checked."""
