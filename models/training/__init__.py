"""The torch half: teachers, students, losses, the trainer, the export."""
