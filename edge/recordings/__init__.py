"""Recordings: their formats, and what is done with them: replay, decoding frame by frame or by columns, import."""
