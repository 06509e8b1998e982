"""What all measurements of models share: processes, turns, figures, tables."""
