"""What a round decides without reading a text: its days before it, the next step after it."""
