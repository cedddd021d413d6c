"""Teachers: their base models and their fine-tuning."""
