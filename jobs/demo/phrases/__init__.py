"""What pupils type, teachers say and homework holds: phrases only, no logic."""
