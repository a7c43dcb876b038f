"""Causal language models: loaded, adapted, asked, merged and saved."""

import logging

# PEFT imports bitsandbytes wherever it is installed, which then tells of a kernel that nobody asked for, and later of
# its casts at every layer. This must stand before the first import of PEFT.
for _name in ("backends.cpu.ops", "autograd._functions"):
    logging.getLogger(f"bitsandbytes.{_name}").setLevel(logging.ERROR)
