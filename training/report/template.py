"""Renders the HTML templates of the reports; each extends page.html.j2 in this folder."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values: object) -> str:
    """Returns a template rendered with the values.

    Values are escaped, except those of type `Markup`.

    Raises:
        jinja2.UndefinedError: if the template uses a value that is not given.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = "{:,}".format
    return environment.get_template(template.name).render(values)
