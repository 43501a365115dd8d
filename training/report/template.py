"""The HTML templates of the reports; every one extends page.html.j2 beside this module."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values: object) -> str:
    """Returns the page that a template makes of the values.

    Every value is escaped, except drawings of type `Markup`.

    Raises:
        jinja2.UndefinedError: if the template names a value that is not given.
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
