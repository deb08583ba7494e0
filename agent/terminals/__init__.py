"""Terminals of the sessions hosted here: who watches which, and whose size counts."""
