"""Where a time zone is: the city it is named after, as its people write it."""

_WRITTEN = {"Sao Paulo": "São Paulo", "Bogota": "Bogotá", "Asuncion": "Asunción", "Cordoba": "Córdoba", "Reunion": "Réunion"}


def city(zone: str) -> str:
    """`São Paulo` of America/Sao_Paulo."""
    name = zone.rpartition("/")[2].replace("_", " ")
    return _WRITTEN.get(name, name)
