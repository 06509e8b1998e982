"""Real pictures to calibrate and to verify on."""
