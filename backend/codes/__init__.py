"""Signed codes: tokens, their QR images, and the thread pool that draws them."""
