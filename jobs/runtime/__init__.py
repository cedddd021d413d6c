"""What surrounds every job: environment, session, progress, the run itself."""
