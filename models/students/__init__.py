"""Student networks, by architecture; needs torch."""
