"""What a start needs: arguments that somebody reads, the context, the Fast DDS profile."""
