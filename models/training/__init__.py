"""Training of students: networks, losses, schemes, the loop; needs torch."""
