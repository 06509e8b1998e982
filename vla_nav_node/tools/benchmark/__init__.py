"""`vla_nav benchmark`: what each policy costs on each backend and precision, here."""
