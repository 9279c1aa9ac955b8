"""Signed codes: their tokens, their QR images, and the thread that draws the images."""
