"""The process in which a trial is measured."""
