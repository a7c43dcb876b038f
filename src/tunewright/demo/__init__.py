"""The bundled demo data set: short messages to an online shop, each with its intent."""
