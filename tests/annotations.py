"""How annotations are checked when `BRAINJAX_TYPECHECK` asks for it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for pyright
