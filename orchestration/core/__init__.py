"""What the system decides: values in, values out; no I/O, clock or logging."""
