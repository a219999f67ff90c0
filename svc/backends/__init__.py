"""One module a technology: how it is opened, pinged, closed, and its errors translated."""
