"""The commands: each puts its options together, calls the library, and prints."""
