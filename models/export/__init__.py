"""From a trained student to a sealed bundle: graphs, parity, export; needs torch."""
