"""The checker of shapes and types: beartype, for which a whole number is a number too."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
