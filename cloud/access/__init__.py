"""Who may do what: users, tokens, vehicles, invitations, the MQTT broker's passwords."""
