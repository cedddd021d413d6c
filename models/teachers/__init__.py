"""Teachers: transformers fine-tuned on human labels, and the small BERT pretrained here; needs torch."""
