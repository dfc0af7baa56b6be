"""What a campaign or the settings select: windows, conditions, captures of raw frames, the black box."""
