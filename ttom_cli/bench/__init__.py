"""Measurements that anyone can repeat: suites of prompts, scores, and tables of arms side by side."""
