"""What must hold on every engine."""
