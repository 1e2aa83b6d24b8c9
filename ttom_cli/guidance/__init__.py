"""Test-time optimisation: attention is tapped, compared with the layout, and steered."""
